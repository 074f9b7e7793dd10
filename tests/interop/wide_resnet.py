"""Checks that what a collapse leaves of a Wide ResNet made of templates is a plain one: PyTorch's modules load what is
saved, without anything left out or over, and compute lpw's logits.

  wide_resnet.py PROGRAM   PROGRAM is made from wide_resnet.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    from safetensors.torch import load_file
    from torch import nn
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

# Depth, width and what is released: coefficients alone, with deviations of banks and batch norms, and banks too.
NETWORKS = [(10, 1, "templates"), (16, 2, "templates,additive"), (10, 1, "all")]


class Block(nn.Module):
    """A pre-activation block; where the shape changes, the shortcut reads the activation."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        activation = self.bn1(x).relu()
        result = self.conv2(self.bn2(self.conv1(activation)).relu())
        return result + (x if self.shortcut is None else self.shortcut(activation))


class WideResNet(nn.Module):
    """Images [B, 3, H, W] -> logits [B, 10]."""

    def __init__(self, depth, widen):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        channels = 16
        for group in range(3):
            blocks = []
            for block in range((depth - 4) // 6):
                width = 16 * widen * 2**group
                blocks.append(Block(channels, width, 2 if group > 0 and block == 0 else 1))
                channels = width
            setattr(self, f"layer{group + 1}", nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(self.bn(x).relu().mean((2, 3)))


def check(condition, message):
    if not condition:
        sys.exit(f"wide_resnet: {message}")


def logits_of(model, depth, widen, images):
    """In float64, so that what differs is lpw's rounding alone."""
    network = WideResNet(depth, widen)
    network.load_state_dict(model, strict=True)
    return network.double().eval()(images.permute(0, 3, 1, 2).double())


@torch.no_grad()
def main(program):
    for depth, widen, late in NETWORKS:
        with tempfile.TemporaryDirectory(prefix="lpw-") as name:
            files = [pathlib.Path(name) / file for file in ("model.safetensors", "logits.safetensors")]
            subprocess.run([program, *files, str(depth), str(widen), late], check=True)
            model, written = map(load_file, files)
        what = f"wrn-{depth}-{widen} of templates, released with {late}"
        check(all(value.dtype == torch.float32 for value in model.values()), f"{what}: a tensor is not of float32")
        found, expected = logits_of(model, depth, widen, written["images"]), written["logits"]
        difference, largest = (found - expected).abs().max().item(), expected.abs().max().item()
        check(expected.std(0).min() > 0.1, f"{what}: the logits tell nothing")
        # float32 rounds each of the sums over up to 1152 products by some 1e-6 of its size, in up to 14 layers.
        check(difference < 2e-5 * largest, f"{what}: logits of up to {largest:.2f} differ by {difference}")
        turned = {key: value.transpose(2, 3) if value.ndim == 4 else value for key, value in model.items()}
        other = (logits_of(turned, depth, widen, written["images"]) - expected).abs().max().item()
        check(other > 1e-2 * largest, f"{what}: with height for width in all kernels logits differ by {other} only")
        print(f"{what}: logits of up to {largest:.2f} differ by {difference:.1e} at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
