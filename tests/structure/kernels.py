#!/usr/bin/env python3
"""Usage: kernels.py ROOT
Every kernel of kernels/ is in tests/structure/kernels.cu, of which machine code is made and looked at: other files that
nvcc compiles may leave that to it. Prints what is missing."""

import pathlib
import re
import sys

BOUNDS = r"(?:__launch_bounds__\((?:[^()]|\([^()]*\))*\)\s*)?"


def main():
    root = pathlib.Path(sys.argv[1])
    table = (root / "tests/structure/kernels.cu").read_text(encoding="utf-8")
    bad, count = 0, 0
    for path in sorted(root.glob("kernels/**/*.cuh")):
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        for found in re.finditer(r"__global__\s+void\s+" + BOUNDS + r"(\w+)\s*\(", text):
            count += 1
            if not re.search(r"\baddress\(" + found[1] + r"\b", table):
                print(f"{path.relative_to(root)}: the kernel {found[1]} is not in tests/structure/kernels.cu")
                bad = 1
        if text.count("__global__") != len(re.findall(r"__global__\s+void\s+" + BOUNDS + r"\w+\s*\(", text)):
            print(f"{path.relative_to(root)}: a __global__ that this check cannot read")
            bad = 1
    if not count:
        print("kernels/: no kernel found")
        bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
