#!/usr/bin/env python3
"""Usage: operations.py ROOT
Holds docs/operations.md against the code. Each row of its tables is a public function, with the parameters that it
names, in the header of include/lpw/autograd/ that its section names; the section says what its parameters are, and what
it throws exists. Each public function of those headers that has variables or tensors of any device in its signature has
a row. Prints every violation."""

import re
import sys
from collections import namedtuple
from pathlib import Path

from primitives import call, functions, same, split_parameters

DOCUMENT, FOLDER = "docs/operations.md", "include/lpw/autograd"
COLUMNS = "| operation | gives | throws |"

Row = namedtuple("Row", "name parameters throws section place")
Section = namedtuple("Section", "header text")  # text: all that stands in it


def read_rows(document):
    """The rows of all tables, and what is wrong with their form."""
    rows, bad, sections, in_table = [], [], [], False
    for number, line in enumerate(document.splitlines(), 1):
        place = f"{DOCUMENT}:{number}"
        if line.startswith("## "):
            header = re.search(rf"`{FOLDER}/(\w+\.hpp)`", line)
            sections.append([header and header[1], ""])
            if not header:
                bad.append(f"{place}: the section names no header of {FOLDER}")
            continue
        in_table = line == COLUMNS or (in_table and line.startswith("|"))
        if in_table and line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            described = re.fullmatch(r"`(\w+)\(([\w, ]*)\)`", cells[0])
            if not described or len(cells) != 3 or not all(cells) or not sections:
                bad.append(f"{place}: expected a row `name(parameters)` | gives | throws in a section")
                continue
            rows.append((described[1], split_parameters(described[2]), cells[2], len(sections) - 1, place))
        elif sections:
            sections[-1][1] += re.sub(r"^\| `.*?` \|", "", line) + "\n"
    return [Row(*row[:3], Section(*sections[row[3]]), row[4]) for row in rows], bad


def check_row(row, code, errors):
    home = [function for function in code if Path(function.place.rsplit(":", 1)[0]).name == row.section.header]
    if not any(same(row, function) for function in home):
        yield f"{row.place}: {call(row)} is not in {FOLDER}/{row.section.header}"
    for name in row.parameters:
        if not re.search(rf"`{name}`", row.section.text):
            yield f"{row.place}: the section does not say what `{name}` of {call(row)} is"
    for name in re.findall(r"\b\w*(?:Error|OutOfMemory|NonFinite)\b", row.throws):
        if name not in errors:
            yield f"{row.place}: {call(row)} throws {name}, which is none of lpw's errors"


def main(root):
    rows, bad = read_rows((root / DOCUMENT).read_text())
    code = [f for file in sorted((root / FOLDER).glob("*.hpp")) for f in functions(file, "D")]
    errors = set(re.findall(r"class (\w+) : public", (root / "include/lpw/tensor/error.hpp").read_text()))
    if not rows or not code or not errors:
        bad.append(f"found {len(rows)} rows and {len(code)} operations: is {root} the project's root?")
    for row in rows:
        bad += check_row(row, code, errors)
        alike = [(r.name, r.parameters, r.section.header) for r in rows]
        if alike.count((row.name, row.parameters, row.section.header)) > 1:
            bad.append(f"{row.place}: {call(row)} has another row")
    for function in code:
        header = Path(function.place.rsplit(":", 1)[0]).name
        if not any(same(row, function) and row.section.header == header for row in rows):
            bad.append(f"{function.place}: {call(function)} has no row in {DOCUMENT}")
    for line in bad:
        print(line.replace(f"{root}/", ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
