"""Checks scripts/to_safetensors.py, and that the trainer starts from what it writes.

  to_safetensors.py CIFAR   CIFAR is the trainer of images

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "to_safetensors.py"


def check(condition, message):
    if not condition:
        sys.exit(f"to_safetensors: {message}")


def run(*arguments):
    return subprocess.run(list(map(str, arguments)), capture_output=True, text=True, check=False)


def convert(content, folder, *options):
    """The file's tensors and metadata, and what was printed."""
    torch.save(content, folder / "in.pth")
    done = run(sys.executable, SCRIPT, folder / "in.pth", folder / "out.safetensors", *options)
    check(done.returncode == 0, done.stderr)
    with safe_open(folder / "out.safetensors", "pt") as file:
        return load_file(folder / "out.safetensors"), file.metadata(), done.stdout


def refused(content, folder, says, *options):
    torch.save(content, folder / "in.pth")
    done = run(sys.executable, SCRIPT, folder / "in.pth", folder / "none.safetensors", *options)
    check(done.returncode == 1 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr)
    check(not (folder / "none.safetensors").exists(), f"wrote a file in spite of: {done.stderr}")


def check_script(folder):
    weight, other = torch.randn(3, 2), torch.randn(4, 3).half()
    plain = {"a.weight": weight, "b.weight": other}
    for content in (
        plain,
        {"state_dict": {f"module.{name}": value for name, value in plain.items()}, "epoch": 3},
        {"model": {"state_dict": {f"module._orig_mod.{name}": value for name, value in plain.items()}}},
    ):
        found, metadata, _ = convert(content, folder)
        check(found.keys() == plain.keys(), found.keys())
        check(
            all(torch.equal(found[name], plain[name]) and found[name].dtype == plain[name].dtype for name in plain), ""
        )
        check(metadata["format"] == "pt" and "model" not in metadata, metadata)
    names = folder / "names.txt"
    names.write_text('oak\n"ash"\n')
    notes = ["--model", "resnet18", "--normalization", "imagenet", "--classes", names]
    found, metadata, _ = convert(plain, folder, "--dtype", "F32", *notes)
    check(json.loads(metadata["classes"]) == ["oak", '"ash"'], metadata)
    check(torch.equal(found["b.weight"], other.float()), "half is not converted")
    check(metadata["model"] == "resnet18" and metadata["normalization"] == "imagenet", metadata)
    found, metadata, printed = convert({"a": weight, "tied": weight, "turned": weight.t(), "epoch": 7}, folder)
    check(found.keys() == {"a", "turned"} and torch.equal(found["turned"], weight.t()), found.keys())
    check(metadata["tied"] == "a" and "tied is a" in printed and "epoch" in printed, printed)
    dense = {f"features.denseblock1.denselayer2.norm.{part}": weight for part in ("1.weight", "2.running_mean")}
    found, metadata, _ = convert({name: value.clone() for name, value in dense.items()}, folder)
    expected = {"features.denseblock1.denselayer2.norm1.weight", "features.denseblock1.denselayer2.norm2.running_mean"}
    check(found.keys() == expected, found.keys())
    noted = {"model": "resnet18", "normalization": "0.5/0.25", "split": "0.2", "module.tied": "module.a"}
    save_file({"module.a": weight, "module.b": other}, folder / "noted.safetensors", noted)
    done = run(
        sys.executable, SCRIPT, folder / "noted.safetensors", folder / "again.safetensors", "--model", "resnet34"
    )
    check(done.returncode == 0, done.stderr)
    with safe_open(folder / "again.safetensors", "pt") as file:
        expected = {"model": "resnet34", "normalization": "0.5/0.25", "split": "0.2", "tied": "a", "format": "pt"}
        check(file.metadata() == expected and set(file.keys()) == {"a", "b"}, file.metadata())
    refused({"epoch": 3}, folder, "no state dict was found")
    refused({"weights": plain}, folder, "has no 'net'", "--key", "net")
    refused({"a": torch.tensor([1e9])}, folder, "beyond the largest", "--dtype", "F16")
    refused(plain, folder, "--strip c.", "--strip", "c.")
    names.write_text("oak\n\nash\n")
    refused(plain, folder, "names.txt: has an empty line", "--classes", names)


def check_trainer(cifar, folder):
    """A network of a thousand classes, in half, is where a run of ten begins: but for its head."""
    try:
        from torchvision.models import resnet18
    except ImportError as error:
        return print(f"without the trainer: {error}")
    network = resnet18(weights=None)
    convert({"state_dict": network.half().state_dict()}, folder, "--model", "resnet18", "--normalization", "imagenet")
    data = ["--train-subset", 20, "--test-subset", 10, "--batch", 10, "--epochs", 1, "--members", 1, "--lr", 1e-30]
    begin = ["--model", "resnet18", "--init", folder / "out.safetensors", *data]
    done = run(cifar, *begin, "--out", folder / "run")
    check(done.returncode == 1 and "convert" in done.stderr, done.stderr)
    done = run(cifar, *begin, "--convert", "--weight-decay", 0, "--out", folder / "run")
    check(done.returncode == 0, done.stderr)
    check("new: 'fc.weight' and 'fc.bias'; not taken of the file: " in done.stdout, done.stdout)
    found = load_file(folder / "run" / "model.safetensors")
    for name, value in network.named_parameters():
        if not name.startswith("fc."):
            check((found[name] - value.float()).abs().max() <= 1e-20, f"{name} is not the file's")  # by a step of 1e-30
    done = run(cifar, *begin, "--convert", "--model", "resnet34", "--out", folder / "other")
    check(done.returncode == 1 and "was not saved from this network" in done.stderr, done.stderr)
    return print("the trainer takes what the script writes")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="lpw-") as place:
        check_script(pathlib.Path(place))
        check_trainer(sys.argv[1], pathlib.Path(place))
