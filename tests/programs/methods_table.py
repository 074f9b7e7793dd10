"""Usage: methods_table.py CIFAR METHODS_SH
scripts/methods.sh trains with methods of each kind of what is served, on few images, and its table has a row of each,
with nothing missing."""

import pathlib
import subprocess
import sys

from trainer import PROGRAM, check, main

SERVED = {"sgd": "collapsed", "swa": "collapsed", "snapshot-ensemble": "snapshots"}


def table_has_a_row_of_each_method(folder):
    program = pathlib.Path(PROGRAM)
    build = next(path.parent for path in program.parents if path.name == "examples")
    command = ["bash", sys.argv[2], "--build", build, "--out", folder / "runs", "--images", 40, *SERVED]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=600)
    check(done.returncode == 0, f"methods.sh exits with {done.returncode}: {done.stderr}")
    title, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    check([row[0] for row in rows] == list(SERVED), f"rows: {done.stdout}")
    for row in rows:
        found = dict(zip(title, row, strict=True))
        check(found["served"] == SERVED[row[0]], f"{row[0]} serves {found['served']}")
        for column in ["forward", "backward", "peak MB", "served weights", "ms an image"]:
            check(float(found[column]) > 0, f"{row[0]}: {column} is {found[column]}")


main(table_has_a_row_of_each_method)
