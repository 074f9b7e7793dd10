"""Runs the ```python blocks of docs/interchange.md, each as a program, on the files that the documents' own programs
write.

  pages.py PAGE.md PROGRAM

PROGRAM is lpw_pages (tests/structure/pages.awk). Exits with 0 where all of them run, 1 where not, 77 where a module is
missing.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

WRITERS = ("start", "interchange-1")  # mine.safetensors, model.onnx


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    missing = set()
    with tempfile.TemporaryDirectory() as folder:
        for writer in WRITERS:
            subprocess.run([sys.argv[2], writer], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)
        for block in blocks:
            run = subprocess.run([sys.executable, "-B", "-c", block], cwd=folder, text=True, stderr=subprocess.PIPE)
            if run.returncode == 0:
                continue
            module = re.search(r"ModuleNotFoundError: No module named '(\w+)", run.stderr)
            if not module:
                sys.exit(f"{block}\n{run.stderr}")
            missing.add(module[1])
    if not blocks:
        sys.exit(f"{sys.argv[1]}: no block of python")
    if missing:
        print(f"SKIPPED: no module {', '.join(sorted(missing))}; scripts/interop.sh installs it and runs this test")
        sys.exit(77)
    print(f"pages: {len(blocks)} blocks of python run")


main()
