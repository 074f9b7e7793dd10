#!/usr/bin/env python3
"""A training step (forward, backward, optimizer) of a network for images with late-phase batch norm and head in
PyTorch: of wrn-DEPTH-WIDEN, or of torchvision's resnet50 and its like; with -eval behind the name, the forward pass of
the plain network in evaluation mode, what lpw's collapse leaves."""

import argparse

import torch
from torch.nn import functional

import measure
from networks import made, made_for_evaluation, select

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


def shape(model):
    """Side and classes of the images that a model is for."""
    return (32, 10) if model.startswith("wrn-") else (224, 1000)


def training_step(options, variant, model):
    """A function that does one iteration of Algorithm 1 on images and labels made here."""
    kind, *extras = variant.split("-")
    side, classes = shape(model)
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    members, device = options.members, options.device
    network = made(kind, model, members).to(device, memory_format=order)
    optimizer = torch.optim.SGD(
        network.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=device == "cuda"
    )
    forward = measure.compiled(network, options) if "compile" in extras else network
    images = torch.randn(members, options.batch, 3, side, side, device=device)
    labels = torch.randint(0, classes, (members, options.batch), device=device)
    if kind == "grouped":
        images = images.transpose(0, 1)
    each = list(images) if kind == "loop" else [images.flatten(0, 1)]
    each = [x.contiguous(memory_format=order) for x in each]

    def step():
        optimizer.zero_grad()
        for k, x in enumerate(each):
            if kind == "loop":
                select(network, k)
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
    model = model.removesuffix("-eval")
    network = made_for_evaluation(model, kind == "folded").to(options.device, memory_format=order)
    forward = (
        measure.compiled(network, options, freezing="freeze" in extras)
        if {"compile", "freeze"} & {*extras}
        else network
    )
    side, _ = shape(model)
    images = torch.randn(options.batch, 3, side, side, device=options.device).contiguous(memory_format=order)

    def step():
        with torch.inference_mode(), measure.autocast(options):
            forward(images)

    return step


def with_batch(options, model):
    return argparse.Namespace(**{**vars(options), "batch": options.batch or (128 if shape(model)[0] == 32 else 32)})


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
    parser.add_argument("models", nargs="*", default=["wrn-16-2"], help="wrn-DEPTH-WIDEN, resnet50, with -eval ...")
    parser.add_argument("--batch", type=int, default=0, help="images per member; 0: 128 of 32x32, 32 of 224x224")
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

            report.measure(with_batch(run, model), model, variant, make_step)
    return report.status()


if __name__ == "__main__":
    raise SystemExit(main())
