#!/usr/bin/env python3
"""A training step (forward, backward, optimizer) of wrn-DEPTH-WIDEN with late-phase batch norm and head in PyTorch."""

import re

import torch
from torch.nn import functional

import measure
from networks import WideResNet

KINDS = ["loop", "loop-channels_last", "grouped", "stacked", "stacked-channels_last", "vmap", "vmap-channels_last"]
VARIANTS = [kind + form for kind in KINDS for form in ("", "-compile", "-graph")]


def size(model):
    """Depth and width of wrn-DEPTH-WIDEN."""
    found = re.fullmatch(r"wrn-(\d+)-(\d+)", model)
    if not found:
        raise SystemExit(f"model {model}: expected wrn-DEPTH-WIDEN")
    return map(int, found.groups())


def training_step(options, variant, model):
    """A function that does one iteration of Algorithm 1 on images and labels made here."""
    kind, *extras = variant.split("-")
    depth, widen = size(model)
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    members, device = options.members, options.device
    network = WideResNet(kind, depth, widen, members).to(device, memory_format=order)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=device == "cuda")
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


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("models", nargs="*", default=["wrn-16-2"], help="wrn-DEPTH-WIDEN ...")
    parser.add_argument("--batch", type=int, default=128, help="images per member")
    parser.add_argument("--variants", type=measure.list_of(*VARIANTS), help=f"of {', '.join(VARIANTS)}; graph: on a GPU",
                        default=["loop", "loop-channels_last", "grouped", "stacked-channels_last"])
    options = parser.parse_args()
    measure.prepare(options)
    report = measure.Report(options)
    for variant in options.variants:
        for model in options.models:
            for run in report.combinations():
                def make_step(run, variant, model=model):
                    return training_step(run, variant, model)
                report.measure(run, model, variant, make_step)
    return report.status()


if __name__ == "__main__":
    raise SystemExit(main())
