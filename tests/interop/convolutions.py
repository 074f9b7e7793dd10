"""Checks lpw's convolutions and poolings, values and gradients, against PyTorch's of the same inputs, member after
member.

  convolutions.py PROGRAM   PROGRAM is made from convolutions.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import torch.nn.functional as functional
    from safetensors.torch import load_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

# Sums of up to some thousand products of normal numbers, in double.
TOLERANCE = 1e-10


def channels_first(tensor):
    """A member's input or kernel in PyTorch's order: [B, ..., C] -> [B, C, ...]."""
    return tensor.movedim(-1, 1).contiguous() if tensor.dim() > 2 else tensor


def computed(operation, options, x, weight, bias):
    numbers = [int(number) for number in options]
    stride, padding, dilation, output_padding, kernel = [tuple(numbers[i : i + 2]) for i in range(0, 10, 2)]
    groups, ceil_mode, counted = numbers[10], bool(numbers[11]), bool(numbers[12])
    if operation in ("conv1d", "conv_transpose1d"):
        stride, padding, dilation, output_padding = stride[1], padding[1], dilation[1], output_padding[1]
    if operation in ("conv1d", "conv2d"):
        return getattr(functional, operation)(x, weight, bias, stride, padding, dilation, groups)
    if operation in ("conv_transpose1d", "conv_transpose2d"):
        transposed = getattr(functional, operation)
        return transposed(x, weight, bias, stride, padding, output_padding, groups, dilation)
    if operation == "max_pool2d":
        return functional.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil_mode)
    if operation == "average_pool2d":
        return functional.avg_pool2d(x, kernel, stride, padding, ceil_mode, counted)
    return functional.adaptive_avg_pool2d(x, kernel)


def main():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "convolutions.safetensors"
        subprocess.run([sys.argv[1], str(file)], check=True)
        content = load_file(str(file))
    cases = sorted({name.rpartition(".")[0] for name in content})
    bad = 0
    for case in cases:
        part = lambda name: content[f"{case}.{name}"]
        operands = [part(name).requires_grad_() for name in ("x", "weight", "bias")]
        of_members = []
        for k in range(len(part("x"))):
            own = [channels_first(operand[k % len(operand)]) for operand in operands]
            of_members.append(computed(case.split(".")[0], part("options"), *own).movedim(1, -1))
        y = torch.stack(of_members)
        y.backward(part("dy"))
        found = {
            "y": y.detach(),
            **{f"d{name}": operand.grad for name, operand in zip(("x", "weight", "bias"), operands)},
        }
        for name, tensor in found.items():
            expected = part(name)
            if tensor is None:  # a pooling has no weight
                continue
            far = float((tensor - expected).abs().max()) if tensor.shape == expected.shape else float("inf")
            if not far <= TOLERANCE:
                print(f"{case}: {name} {tuple(expected.shape)}, PyTorch's {tuple(tensor.shape)}, differ by {far}")
                bad += 1
    print(f"{len(cases)} cases, {bad} differences")
    return bad > 0 or not cases


if __name__ == "__main__":
    sys.exit(main())
