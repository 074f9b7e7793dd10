"""Writes a file with the reference implementation of safetensors, for lpw to read.

  safetensors_write.py FILE EXPECT [PROGRAM]   with PROGRAM, `PROGRAM read FILE EXPECT` checks it afterwards

EXPECT is described in safetensors.cpp. Exits with 0, 1 where PROGRAM finds a difference, 77 where a module is missing.
"""

import json
import subprocess
import sys

try:
    import numpy as np
    from safetensors.numpy import save_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

DTYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U8": np.uint8}
SHAPES = [(), (3,), (2, 0), (2, 3), (2, 2, 3), (1, 2, 1, 2), (2, 1, 2, 1, 2, 1)]


def main(path, expect_path, *program):
    tensors, expect = {}, {}
    for dtype, numpy_type in DTYPES.items():
        for shape in SHAPES:
            values = np.arange(np.prod(shape, dtype=int)) * 5 + len(shape)
            array = values.astype(numpy_type).reshape(shape)
            name = f"{dtype} \u03b3 {list(shape)}"
            tensors[name] = array
            expect[name] = {"dtype": dtype, "shape": list(shape), "values": array.ravel().tolist()}
    save_file(tensors, path, metadata={"format": "pt"})
    with open(expect_path, "w", encoding="utf-8") as file:
        json.dump(expect, file)
    return subprocess.run([*program, "read", path, expect_path]).returncode if program else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
