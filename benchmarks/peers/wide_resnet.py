#!/usr/bin/env python3
"""A training step (forward, backward, optimizer) of wrn-DEPTH-WIDEN with late-phase batch norm and head in PyTorch."""

import re

import torch
from torch.nn import functional

import measure
from networks import WideResNet

VARIANTS = [f"{kind}{order}{compiled}" for kind, order in [("loop", ""), ("loop", "-channels_last"), ("grouped", ""), ("stacked", ""),
                                                           ("stacked", "-channels_last")] for compiled in ("", "-compile")]


def training_step(options, variant):
    """A function that does one iteration of Algorithm 1 on images and labels made here."""
    kind, *extras = variant.split("-")
    depth, widen = map(int, re.fullmatch(r"wrn-(\d+)-(\d+)", options.model).groups())
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    members, device = options.members, options.device
    network = WideResNet(kind, depth, widen, members).to(device, memory_format=order)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4)
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

    return step


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("model", nargs="?", default="wrn-16-2")
    parser.add_argument("--batch", type=int, default=128, help="images per member")
    parser.add_argument("--variants", default="loop,loop-channels_last,grouped,stacked-channels_last", help=f"of {', '.join(VARIANTS)}")
    options = parser.parse_args()
    measure.prepare(options)
    runs = []
    for variant in options.variants.split(","):
        if variant not in VARIANTS:
            raise SystemExit(f"--variants {variant}: expected some of {', '.join(VARIANTS)}")
        times = measure.milliseconds(training_step(options, variant), options)
        runs.append(measure.record(options, options.model, variant, times, batch=options.batch))
    measure.write(options, runs)


if __name__ == "__main__":
    main()
