"""Checks exported networks and operations against onnxruntime: the files are what the format allows, and compute what
lpw does, for minibatches of other sizes too.

  onnx_model.py PROGRAM   PROGRAM is made from onnx_model.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)


def check(condition, message):
    if not condition:
        sys.exit(f"onnx_model: {message}")


def in_order(value, stored):
    """A value of lpw's, channels last, as the graph has it."""
    value = value.astype(np.int64) if stored.type == "tensor(int64)" else value
    fits = len(stored.shape) == value.ndim and all(
        isinstance(extent, str) or extent == own for extent, own in zip(stored.shape, value.shape)
    )
    return value if fits else np.moveaxis(value, -1, 1)


def compare(file):
    """The largest difference of an output, by the largest of its numbers."""
    onnx.checker.check_model(onnx.load(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    tensors = load_file(file.with_suffix(".safetensors"))
    feeds = {stored.name: in_order(tensors.pop(stored.name), stored) for stored in session.get_inputs()}
    results = dict(zip((stored.name for stored in session.get_outputs()), session.run(None, feeds)))
    check(tensors.keys() <= results.keys(), f"{file.stem}: outputs {sorted(results)}, expected {sorted(tensors)}")
    worst = 0
    for stored in session.get_outputs():
        if stored.name not in tensors:
            continue
        found, expected = results[stored.name], in_order(tensors[stored.name], stored)
        check(found.shape == expected.shape, f"{file.stem}: {stored.name} {found.shape}, expected {expected.shape}")
        check(expected.std() > 1e-3, f"{file.stem}: {stored.name} tells nothing")
        worst = max(worst, np.abs(found - expected).max() / np.abs(expected).max())
    # float32 rounds each of the sums over up to 576 products by some 1e-6 of its size, in up to nine layers.
    check(worst < 2e-5, f"{file.stem}: differs by {worst} of its largest number")
    return worst


def main(program):
    with tempfile.TemporaryDirectory(prefix="lpw-") as folder:
        subprocess.run([program, folder], check=True)
        files = sorted(pathlib.Path(folder).glob("*.onnx"))
        check(len(files) > 25, f"{len(files)} files")
        for file in files:
            print(f"{file.stem}: differs by {compare(file):.1e} of its largest number")


if __name__ == "__main__":
    main(*sys.argv[1:])
