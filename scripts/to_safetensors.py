#!/usr/bin/env python3
"""Makes of PyTorch's weights (.pth, .pt, .bin: a state dict, alone or within a checkpoint) a .safetensors file, which
lpw reads by --init, --eval and io::load_safetensors. Names stay PyTorch's; of wrapped networks (DataParallel,
torch.compile) the prefix is taken off, and of torchvision's older DenseNets names become the newer ones. Tied weights
are stored once, and noted under their other names. What is no tensor is left out, and said to be. What a .safetensors
file notes in its metadata stays, but for what the options say.

Needs torch and safetensors. Files are read without running what they hold.
"""

import argparse
import json
import pathlib
import re
import sys

try:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file
except ImportError as error:
    sys.exit(f"to_safetensors.py: {error}; pip install torch safetensors")

NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "params")
PREFIXES = ("module.", "_orig_mod.", "model.")
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


def fail(message):
    sys.exit(f"to_safetensors.py: {message}")


def read(path):
    """What the file holds, and its metadata."""
    if not path.is_file():
        fail(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        return torch.load(path, map_location="cpu", weights_only=True), {}
    except Exception as error:  # of many kinds, with texts of many lines
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        fail(f"{path}: cannot be read: {reason}; save the network's state_dict() with torch.save")


def state_dict(content, key, path):
    """The state dict in it: under `key`, or where checkpoints usually have one."""
    if key:
        if not isinstance(content, dict) or key not in content:
            found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
            fail(f"{path}: has no '{key}' at its top, but {found[:300]}")
        return content[key]
    for _ in range(3):
        if not isinstance(content, dict) or any(isinstance(value, torch.Tensor) for value in content.values()):
            break
        inner = [name for name in NESTED if isinstance(content.get(name), dict)]
        if not inner:
            break
        content = content[inner[0]]
    if not isinstance(content, dict) or not any(isinstance(value, torch.Tensor) for value in content.values()):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        fail(f"{path}: no state dict was found in it, but {found[:300]}; name its place with --key")
    return content


def renamed(names, strip):
    """New names by the old ones: without prefixes that all of them have, and of old DenseNets the newer ones."""
    result = {name: name for name in names}
    stripped = True
    while stripped:
        stripped = False
        for prefix in [strip] if strip else PREFIXES:
            if prefix and all(name.startswith(prefix) for name in result.values()):
                result = {name: new[len(prefix) :] for name, new in result.items()}
                stripped = not strip
    result = {name: OLD_DENSENET.sub(r"\1\2", new) for name, new in result.items()}
    if strip and result == {name: name for name in names}:
        fail(f"--strip {strip}: not all names begin with it, such as {next(iter(names))}")
    return result


def region(tensor):
    """Where in memory a tensor lies, and how."""
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride())


def untied(tensors):
    """Each tensor once, and {other name: name} of those that are the same memory."""
    kept, notes, seen = {}, {}, {}
    for name, tensor in tensors.items():
        first = seen.setdefault(region(tensor), name) if tensor.numel() > 0 else name
        if first == name:
            kept[name] = tensor
        else:
            notes[name] = first
    return kept, notes


def converted(name, tensor, dtype):
    """In another floating-point type where one is asked for, with memory of its own."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        fail(f"tensor {name} is sparse or quantized; make it dense first")
    if dtype is None or not tensor.is_floating_point():
        return tensor.clone().contiguous()
    result = tensor.to(dtype).contiguous().clone()
    if tensor.isfinite().all() and not result.isfinite().all():
        fail(f"tensor {name} has values beyond the largest of {dtype}; take another --dtype")
    return result


def class_names(path):
    """The lines of a file."""
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: cannot be read: {error}")
    if not names or not all(names):
        fail(f"{path}: has an empty line, or none; write a class's name into each")
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=pathlib.Path, help="file of torch.save, or .safetensors")
    parser.add_argument("output", type=pathlib.Path, help=".safetensors file to write")
    parser.add_argument("--key", help="where the state dict is in a checkpoint (default: the usual places)")
    parser.add_argument("--strip", help="prefix of all names to take off (default: module. and the like)")
    parser.add_argument(
        "--dtype", choices=["keep", *DTYPES], default="keep", help="floating-point type (default: keep)"
    )
    parser.add_argument("--model", help="name in lpw's catalogue, such as resnet50, noted in the file")
    parser.add_argument("--normalization", help="of its images, as the trainers' --normalization; noted in the file")
    parser.add_argument("--classes", type=pathlib.Path, help="text file of the classes' names, a line each; noted too")
    options = parser.parse_args()
    content, metadata = read(options.input)
    content = state_dict(content, options.key, options.input)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    others = [str(name) for name in content if not isinstance(content[name], torch.Tensor)]
    if not tensors:
        fail(f"{options.input}: holds no tensors there")
    tied = {other: name for other, name in metadata.items() if name in tensors and other not in tensors}
    names = renamed([*tensors, *tied], options.strip)
    if len(set(names.values())) < len(names):
        fail(f"{options.input}: two tensors get one name")
    kept, notes = untied({names[name]: tensor.detach() for name, tensor in tensors.items()})
    kept = {name: converted(name, tensor, DTYPES.get(options.dtype)) for name, tensor in kept.items()}
    metadata = {key: text for key, text in metadata.items() if key not in tied} | {"format": "pt", **notes}
    metadata |= {names[other]: names[name] for other, name in tied.items()}
    metadata |= {key: getattr(options, key) for key in ("model", "normalization") if getattr(options, key)}
    if options.classes:
        metadata["classes"] = json.dumps(class_names(options.classes))
    save_file(kept, options.output, metadata)
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in kept.values()})
    print(
        f"{options.output}: {len(kept)} tensors, {sum(t.numel() for t in kept.values())} numbers ({', '.join(types)})"
    )
    if notes:
        print(f"tied: {', '.join(f'{other} is {name}' for other, name in notes.items())}")
    if others:
        print(f"left out, no tensors: {', '.join(others)}")


if __name__ == "__main__":
    main()
