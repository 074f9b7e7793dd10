"""Checks a file written by lpw with the reference implementation of safetensors.

  safetensors_read.py FILE EXPECT [PROGRAM]   with PROGRAM, `PROGRAM write FILE EXPECT` makes both first

EXPECT is described in safetensors.cpp. Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import json
import subprocess
import sys

try:
    import numpy as np
    import safetensors
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

NUMPY = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U8": np.uint8}


def tensors_of(path):
    """name -> (dtype, array). numpy has no bfloat16: a BF16 value is the upper half of a float32."""
    with open(path, "rb") as file:
        raw = dict(safetensors.deserialize(file.read()))
    result = {}
    for name, view in raw.items():
        if view["dtype"] == "BF16":
            array = (np.frombuffer(view["data"], np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(view["data"], NUMPY[view["dtype"]])
        result[name] = view["dtype"], array.reshape(view["shape"])
    return result


def difference(name, found, expected):
    """What differs between a tensor and its description, or None."""
    dtype, array = found
    if dtype != expected["dtype"] or list(array.shape) != expected["shape"]:
        return f"{name}: {dtype} {list(array.shape)}, expected {expected['dtype']} {expected['shape']}"
    if array.ravel().tolist() != expected["values"]:
        return f"{name}: values {array.ravel().tolist()}, expected {expected['values']}"
    return None


def numpy_differences(path, tensors):
    """Every tensor numpy has a type for, as numpy's users load it: through the file's memory map."""
    with safetensors.safe_open(path, framework="np") as file:
        for name, (dtype, array) in tensors.items():
            if dtype in NUMPY:
                loaded = file.get_tensor(name)
                if loaded.dtype != NUMPY[dtype] or not np.array_equal(loaded, array):
                    yield f"{name}: safe_open gives {loaded}, deserialize {array}"


def main(path, expect_path, *program):
    if program:
        subprocess.run([*program, "write", path, expect_path], check=True)
    with open(expect_path, encoding="utf-8") as file:
        expect = json.load(file)
    found = tensors_of(path)
    errors = []
    if found.keys() != expect.keys():
        errors.append(f"tensors {sorted(found)}, expected {sorted(expect)}")
    errors += filter(None, (difference(name, found[name], expect[name]) for name in found.keys() & expect.keys()))
    errors += numpy_differences(path, found)
    for error in errors:
        print(f"{path}: {error}", file=sys.stderr)
    print(f"{path}: {len(found)} tensors read by safetensors {safetensors.__version__}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
