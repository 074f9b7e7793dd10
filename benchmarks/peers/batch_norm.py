#!/usr/bin/env python3
"""Batch norm + ReLU of K members, forward and backward, in PyTorch, for the layers of WRN-28-10."""

import torch
from torch.nn import functional

import measure
from networks import NORMS

SHAPES = ["32x32x160", "16x16x320", "8x8x640", "32x32x16"]  # HEIGHTxWIDTHxCHANNELS
KINDS = ["loop", "loop-channels_last", "grouped", "stacked-channels_last", "vmap"]
VARIANTS = [kind + form for kind in KINDS for form in ("", "-compile", "-graph")]


def forward_backward(options, variant, shape):
    """A function that runs relu(batch_norm(x)) and its backward for all members once."""
    kind, *extras = variant.split("-")
    height, width, channels = map(int, shape.split("x"))
    order = torch.channels_last if "channels_last" in extras else torch.contiguous_format
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    norm = NORMS[kind](options.members, channels).to(options.device)

    def apply(x):
        return functional.relu(norm(x))

    def tensor(images):
        return (
            torch.randn(images, channels, height, width, device=options.device)
            .to(dtype)
            .contiguous(memory_format=order)
        )

    run = measure.compiled(apply, options) if "compile" in extras else apply
    parts = options.members if kind == "loop" else 1
    inputs = [tensor(options.batch * options.members // parts).requires_grad_() for _ in range(parts)]
    gradients = [tensor(options.batch * options.members // parts) for _ in range(parts)]

    def step():
        norm.zero_grad()
        for k, (x, gradient) in enumerate(zip(inputs, gradients)):
            norm.member = k
            x.grad = None
            run(x).backward(gradient)

    return measure.graphed(step) if "graph" in extras else step


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="HEIGHTxWIDTHxCHANNELS,...")
    parser.add_argument("--batch", type=int, default=128, help="images per member")
    parser.add_argument(
        "--variants",
        type=measure.list_of(*VARIANTS),
        default=["loop", "loop-channels_last", "grouped", "vmap"],
        help=f"of {', '.join(VARIANTS)}; graph: on a GPU",
    )
    options = parser.parse_args()
    measure.prepare(options)
    report = measure.Report(options)
    clock = measure.ColdEvents() if options.device == "cuda" else measure.wall_clock
    for run in report.combinations():
        for variant in options.variants:
            for shape in options.shapes.split(","):

                def make_step(run, variant, shape=shape):
                    return forward_backward(run, variant, shape)

                report.measure(run, f"bn {shape}", variant, make_step, clock)
    return report.status()


if __name__ == "__main__":
    raise SystemExit(main())
