#!/usr/bin/env bash
# Usage: columns.sh ROOT
# No line of code, scripts or documents is longer than 120 characters; tables of Markdown, which cannot be wrapped, and
# raw strings, whose lines are data, may be. Prints every one that is.
set -euo pipefail
root=${1:?usage: columns.sh ROOT}
cd "$root"
command -v python3 >/dev/null || { echo "SKIPPED: there is no python3"; exit 77; }
python3 - <<'PROGRAM'
import pathlib
import sys

ENDINGS = {".hpp", ".h", ".cpp", ".cuh", ".cu", ".inc", ".cmake", ".txt", ".sh", ".py", ".md", ".toml"}
FOLDERS = ["include", "kernels", "examples", "tests", "benchmarks", "docs", "scripts", "cmake"]
files = [path for folder in FOLDERS for path in sorted(pathlib.Path(folder).rglob("*")) if path.suffix in ENDINGS]
files += [path for path in sorted(pathlib.Path().glob("*")) if path.suffix in ENDINGS]
bad = False
for path in files:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if len(line) > 120 and not line.startswith("|") and 'R"' not in line:
            print(f"{path}:{number}: {len(line)} characters, at most 120")
            bad = True
sys.exit(bad)
PROGRAM
