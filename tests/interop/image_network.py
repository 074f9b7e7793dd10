"""Checks that the catalogue's networks are torchvision's: with weights that it has drawn they compute the same features
and logits, as graphs in ONNX too, and in training the same loss, gradients and running statistics.

  image_network.py PROGRAM [NAME...]   PROGRAM is made from image_network.cpp; NAME is of the catalogue; without any,
                                       one for each kind of block and stem, with LPW_TEST_LONG=1 all

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import torchvision
    from safetensors.torch import load_file, save_file
    from torch import nn
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

try:
    import onnx
    import onnxruntime
except ImportError as error:
    print(f"SKIPPED in part: {error}; scripts/interop.sh installs it")
    onnxruntime = None

NAMES = ["resnet18", "resnet50", "densenet121", "resnet18-cifar"]
if os.environ.get("LPW_TEST_LONG", "") not in ("", "0"):
    NAMES += ["resnet34", "resnet101", "resnet152", "densenet161", "densenet169", "densenet201"]
CLASSES, IMAGES, SIZE = 10, 4, 64


def make(name):
    """The network, with batch norms of some training behind it: other weights, biases and statistics than at first."""
    network = getattr(torchvision.models, name.removesuffix("-cifar"))(weights=None, num_classes=CLASSES)
    if name.endswith("-cifar"):
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def computed(network, images, labels):
    """What image_network.cpp writes, in double."""
    network = network.double().eval()
    head = network.fc if hasattr(network, "fc") else network.classifier
    result = {}
    hook = head.register_forward_pre_hook(lambda _, inputs: result.__setitem__("features", inputs[0].detach()))
    images = images.permute(0, 3, 1, 2).double()
    with torch.no_grad():
        result["logits"] = network(images)
    hook.remove()
    result |= {f"float.{key}": value for key, value in result.items()}
    logits = network.train()(images)
    loss = nn.functional.cross_entropy(logits, labels.long())
    loss.backward()
    result |= {"training_logits": logits.detach(), "loss": loss.detach().reshape(1)}
    result |= {name: parameter.grad for name, parameter in network.named_parameters()}
    return result | {name: value for name, value in network.named_buffers() if not name.endswith("tracked")}


def distance(found, expected):
    """Norm of the difference, relative to what is expected; NaN where there is one."""
    return ((found.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-12)).item()


def check(condition, message):
    if not condition:
        sys.exit(f"image_network: {message}")


def compare_graphs(name, written, images, logits, members):
    """What onnxruntime computes, of minibatches of another size than was traced: the network's logits, and the mean
    prediction of its two members, whose images have their channels last."""
    files = [written.with_name(written.name + ending) for ending in (".onnx", ".folded.onnx", ".members.onnx")]
    if onnxruntime is None or not files[0].exists():
        return print(f"SKIPPED in part: {name} as a graph: {'no onnxruntime' if files[0].exists() else 'without ONNX'}")
    sizes = []
    for file in files:
        onnx.checker.check_model(onnx.load(file), full_check=True)
        ensemble = file == files[2]
        output, expected = ("probabilities", members) if ensemble else ("logits", logits)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        for count in (1, len(images)):
            feed = images[:count] if ensemble else images[:count].permute(0, 3, 1, 2).contiguous()
            found = torch.from_numpy(session.run([output], {"input": feed.numpy()})[0])
            error = distance(found, expected[:count])
            # As in evaluation: sums in float32 in another order.
            check(error <= 1e-4, f"{name}: {file.name} differs by {error:.1e} for {count} images")
        sizes.append(file.stat().st_size)
        print(f"{name}: onnxruntime's {output} differ by {error:.1e}")
    check(sizes[1] < sizes[0], f"{name}: with its batch norms folded the graph is no smaller")


def compare(program, name, folder):
    torch.manual_seed(1)
    network = make(name)
    model, given, written = (folder / f"{file}.safetensors" for file in ("model", "in", "out"))
    images = torch.randn(IMAGES, SIZE, SIZE, 3)
    labels = torch.arange(IMAGES, dtype=torch.int32) % CLASSES
    save_file(network.state_dict(), model)
    save_file({"images": images, "labels": labels}, given)
    subprocess.run([program, name, str(CLASSES), model, given, written], check=True)
    found, expected = load_file(written), computed(network, images, labels)
    members = found.pop("members")
    check(found.keys() == expected.keys(), f"{name}: differs in {sorted(found.keys() ^ expected.keys())[:5]}")
    compare_graphs(name, written, images, expected["logits"], members)
    check(expected["logits"].std(0).min() > 1e-3, f"{name}: the logits tell nothing")
    errors = {}
    for key, value in expected.items():
        check(found[key].shape == value.shape, f"{name}: {key} is {found[key].shape}, not {value.shape}")
        errors[key] = distance(found[key], value)
        # In double up to 200 layers of sums in another order, and batch norms over few values, in which errors grow; in
        # float32, where a sum of some thousand products rounds by 1e-6 of its size, what an evaluation may cost.
        bound = 1e-4 if key.startswith("float.") else 1e-8
        check(errors[key] <= bound, f"{name}: {key} differs by {errors[key]:.1e} of its norm, expected {bound:.0e}")
    worst = max((key for key in errors if not key.startswith("float.")), key=errors.get)
    print(f"{name}: logits differ by {errors['float.logits']:.1e} in float32 and {errors['logits']:.1e} in double, of")
    print(f"  {len(errors)} tensors in training and evaluation {worst} most, by {errors[worst]:.1e}")


def main(program, *names):
    for name in names or NAMES:
        with tempfile.TemporaryDirectory(prefix="lpw-") as folder:
            compare(program, name, pathlib.Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
