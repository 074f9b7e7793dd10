#!/usr/bin/env python3
"""A training step (forward, backward, optimizer) of wrn-DEPTH-WIDEN with late-phase batch norm and head in PyTorch; of
wrn-DEPTH-WIDEN-eval, the forward pass of the plain network in evaluation mode, what lpw's collapse leaves."""

import re

import torch
from torch.nn import functional

import measure
from networks import WideResNet, fold_norms

KINDS = ["loop", "loop-channels_last", "grouped", "stacked", "stacked-channels_last", "vmap", "vmap-channels_last"]
VARIANTS = [kind + form for kind in KINDS for form in ("", "-compile", "-graph")]
EVALUATION_KINDS = ["plain", "plain-channels_last", "folded", "folded-channels_last"]
EVALUATION_VARIANTS = [kind + form for kind in EVALUATION_KINDS for form in ("", "-compile", "-freeze")]
DEFAULT = [
    "loop",
    "loop-channels_last",
    "grouped",
    "stacked-channels_last",
    "plain",
    "plain-channels_last",
    "folded-channels_last",
    "plain-freeze",
]


def evaluates(model):
    """Whether a model's name stands for evaluation, in place of a training step."""
    return model.endswith("-eval")


def size(model):
    """Depth and width of wrn-DEPTH-WIDEN, or of that and -eval."""
    found = re.fullmatch(r"wrn-(\d+)-(\d+)", model.removesuffix("-eval"))
    if not found:
        raise SystemExit(f"model {model}: expected wrn-DEPTH-WIDEN or wrn-DEPTH-WIDEN-eval")
    return map(int, found.groups())


def training_step(options, variant, model):
    """A function that does one iteration of Algorithm 1 on images and labels made here."""
    kind, *extras = variant.split("-")
    depth, widen = size(model)
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    members, device = options.members, options.device
    network = WideResNet(kind, depth, widen, members).to(device, memory_format=order)
    optimizer = torch.optim.SGD(
        network.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=device == "cuda"
    )
    forward = measure.compiled(network, options) if "compile" in extras else network
    images = torch.randn(members, options.batch, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (members, options.batch), device=device)
    if kind == "grouped":
        images = images.transpose(0, 1)
    each = list(images) if kind == "loop" else [images.flatten(0, 1)]
    each = [x.contiguous(memory_format=order) for x in each]

    def step():
        optimizer.zero_grad()
        for k, x in enumerate(each):
            if kind == "loop":
                network.select(k)
            with measure.autocast(options):
                logits = forward(x)
                if kind == "loop":
                    loss = functional.cross_entropy(logits, labels[k])
                else:  # the sum over the members of their means
                    loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten()) * members
            loss.backward()
        optimizer.step()

    return measure.graphed(step) if "graph" in extras else step


def evaluation(options, variant, model):
    """A function that passes a batch made here through the plain network, its weights as they were drawn."""
    kind, *extras = variant.split("-")
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    network = WideResNet("loop", *size(model), members=1).to(options.device, memory_format=order).eval()
    if kind == "folded":
        fold_norms(network)
    forward = (
        measure.compiled(network, options, freezing="freeze" in extras)
        if {"compile", "freeze"} & {*extras}
        else network
    )
    images = torch.randn(options.batch, 3, 32, 32, device=options.device).contiguous(memory_format=order)

    def step():
        with torch.inference_mode(), measure.autocast(options):
            forward(images)

    return step


def works(options):
    """(model, variant) of all runs, those of a variant together: a variant is of training steps or of evaluations."""
    runs = [
        (model, variant)
        for variant in options.variants
        for model in options.models
        if evaluates(model) == (variant in EVALUATION_VARIANTS)
    ]
    if not runs:
        raise SystemExit(
            f"{', '.join(options.models)}: none of the variants {', '.join(options.variants)} is of such a model"
        )
    return runs


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("models", nargs="*", default=["wrn-16-2"], help="wrn-DEPTH-WIDEN, wrn-DEPTH-WIDEN-eval ...")
    parser.add_argument("--batch", type=int, default=128, help="images per member")
    parser.add_argument(
        "--variants",
        type=measure.list_of(*VARIANTS, *EVALUATION_VARIANTS),
        default=DEFAULT,
        help=f"of {', '.join(VARIANTS)}; graph: on a GPU. "
        f"Of evaluation: {', '.join(EVALUATION_VARIANTS)}; "
        "folded: batch norm in the convolutions' weights, freeze: compiled with constant weights",
    )
    options = parser.parse_args()
    measure.prepare(options)
    report = measure.Report(options)
    for model, variant in works(options):
        for run in report.combinations([1] if evaluates(model) else None):

            def make_step(run, variant, model=model):
                return (evaluation if evaluates(model) else training_step)(run, variant, model)

            report.measure(run, model, variant, make_step)
    return report.status()


if __name__ == "__main__":
    raise SystemExit(main())
