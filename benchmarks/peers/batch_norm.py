#!/usr/bin/env python3
"""Batch norm + ReLU of K members, forward and backward, in PyTorch, for the layers of WRN-28-10."""

import torch
from torch import nn
from torch.nn import functional

import measure
from networks import GroupedNorm, LoopNorm, StackedNorm

SHAPES = ["32x32x16", "32x32x160", "16x16x320", "8x8x640"]  # HEIGHTxWIDTHxCHANNELS
VARIANTS = [f"{kind}{order}{compiled}" for kind, order in [("loop", ""), ("loop", "-channels_last"), ("grouped", ""),
                                                           ("stacked", "-channels_last"), ("vmap", "")] for compiled in ("", "-compile")]


class VmapNorm(nn.Module):
    """functional.batch_norm mapped over the members. Keeps no running statistics: vmap cannot update them in place."""

    def __init__(self, members, channels):
        super().__init__()
        self.members = members
        self.weight = nn.Parameter(torch.ones(members, channels))
        self.bias = nn.Parameter(torch.zeros(members, channels))

    def forward(self, x):
        def norm(member, weight, bias):
            return functional.batch_norm(member, None, None, weight, bias, training=True)
        return torch.vmap(norm)(x.unflatten(0, (self.members, -1)), self.weight, self.bias).flatten(0, 1)


def forward_backward(options, variant, shape):
    """A function that runs relu(batch_norm(x)) and its backward for all members once."""
    kind, *extras = variant.split("-")
    height, width, channels = map(int, shape.split("x"))
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    norm = {"loop": LoopNorm, "grouped": GroupedNorm, "stacked": StackedNorm, "vmap": VmapNorm}[kind](options.members, channels)
    norm = norm.to(options.device)

    def apply(x):
        return functional.relu(norm(x))

    def tensor(images):
        return torch.randn(images, channels, height, width, device=options.device).to(dtype).contiguous(memory_format=order)

    run = measure.compiled(apply, options) if "compile" in extras else apply
    parts = options.members if kind == "loop" else 1
    inputs = [tensor(options.batch * options.members // parts).requires_grad_() for _ in range(parts)]
    gradients = [tensor(options.batch * options.members // parts) for _ in range(parts)]

    def step():
        for k, (x, gradient) in enumerate(zip(inputs, gradients)):
            norm.member = k
            x.grad = None
            run(x).backward(gradient)

    return step


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="HEIGHTxWIDTHxCHANNELS,...")
    parser.add_argument("--batch", type=int, default=128, help="images per member")
    parser.add_argument("--variants", default="loop,loop-channels_last,grouped,vmap", help=f"of {', '.join(VARIANTS)}")
    options = parser.parse_args()
    measure.prepare(options)
    runs = []
    for shape in options.shapes.split(","):
        for variant in options.variants.split(","):
            if variant not in VARIANTS:
                raise SystemExit(f"--variants {variant}: expected some of {', '.join(VARIANTS)}")
            times = measure.milliseconds(forward_backward(options, variant, shape), options)
            runs.append(measure.record(options, f"bn {shape}", variant, times, batch=options.batch))
    measure.write(options, runs)


if __name__ == "__main__":
    main()
