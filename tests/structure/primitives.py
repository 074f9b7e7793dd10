#!/usr/bin/env python3
"""Usage: primitives.py ROOT
Holds docs/primitives.md against the code. Each row of its tables is overloaded for Tensor<..., Cpu> in
include/lpw/cpu/*.hpp and for Tensor<..., Cuda> in include/lpw/cuda/*.hpp, with the parameters that it names, unless it
says "none: WHY" of a device. What serves it is part of that device, its section says what its parameters are, and the
header that the section names what it computes. Each public function of those files that has a device's tensors in its
signature has a row. Prints every violation."""

import re
import sys
from collections import namedtuple
from pathlib import Path

DEVICES = {"Cpu": "cpu", "Cuda": "cuda"}
DOCUMENT = "docs/primitives.md"
COLUMNS = "| primitive | of | computes | CPU | CUDA |"

Function = namedtuple("Function", "name parameters place")
Row = namedtuple("Row", "name parameters served section place")  # served: a cell for each device
Section = namedtuple("Section", "header operands")


def balanced(text):
    """Yields (character, depth of brackets around it); comparisons occur in no signature."""
    depth = 0
    for character in text:
        if character in ")>]}":
            depth -= 1
        yield character, depth
        if character in "(<[{":
            depth += 1


def split_parameters(text):
    parts = [""]
    for character, depth in balanced(text):
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def parameter_name(declaration):
    """None where the code has no name for it, not even in a comment."""
    if comment := re.search(r"/\*\s*(\w+)", declaration):
        return comment[1]
    for place, (character, depth) in enumerate(balanced(declaration)):
        if character == "=" and depth == 0:
            declaration = declaration[:place]
            break
    name = re.search(r"[\s&*>](\w+)$", declaration.strip())
    return name[1] if name else None


def signature(text):
    """(name, parameters) of a function's declaration up to its body, or None."""
    text = re.sub(r"\[\[\w+\]\]|\binline\b|\bstatic\b|\bconstexpr\b", " ", text).strip()
    while text.startswith("template"):
        end = next(i for i, (c, depth) in enumerate(balanced(text)) if c == ">" and depth == 0)
        text = text[end + 1 :].strip()
    opening = next((i for i, (c, depth) in enumerate(balanced(text)) if c == "(" and depth == 0), None)
    name = re.search(r"[\s&*>](\w+)\s*$", text[:opening]) if opening is not None else None
    if not name:
        return None
    closing = next(i for i, (c, depth) in enumerate(balanced(text)) if i > opening and c == ")" and depth == 0)
    return name[1], [parameter_name(part) for part in split_parameters(text[opening + 1 : closing])]


def functions(file, device):
    """The functions of a file in lpw itself, in no namespace or class, whose signature has the device's tensors."""
    text = re.sub(r"//.*|^\s*#.*$", "", file.read_text(), flags=re.M)
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    scopes, statement, round_brackets, line = [], "", 0, 1
    for character in text:
        line += character == "\n"
        round_brackets += {"(": 1, ")": -1}.get(character, 0)
        if round_brackets or character not in "{};":
            statement += character
            continue
        statement = statement.strip()
        public = all(scope in ("lpw::inline LPW_ABI", "lpw") for scope in scopes)
        if character == "}":
            if scopes:
                scopes.pop()
        elif public and re.search(rf"\b{device}\s*>", statement) and (found := signature(statement)):
            yield Function(*found, f"{file}:{line}")
        if character == "{":
            namespace = re.match(r"(?:inline )?namespace\b\s*(.*)", statement, re.S)
            scopes.append(namespace[1].strip() if namespace else "other")
        statement = ""


def read_rows(document):
    """The rows of all tables, and what is wrong with their form."""
    rows, bad, section, in_table = [], [], Section(None, ""), False
    for number, line in enumerate(document.splitlines(), 1):
        place = f"{DOCUMENT}:{number}"
        if line.startswith("## "):
            header = re.search(r"`(include/lpw/primitives/\w+\.hpp)`", line)
            section = Section(header and header[1], "")
            if not header:
                bad.append(f"{place}: the section names no header of include/lpw/primitives")
        elif line == COLUMNS:
            in_table = True
        elif in_table and line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            call = re.fullmatch(r"`(\w+)\(([\w, ]*)\)`", cells[0])
            if not call or len(cells) != 5 or not all(cells) or cells[1] not in ("T", "W"):
                bad.append(f"{place}: expected a row `name(parameters)` | T or W | computes | CPU | CUDA")
                continue
            served = dict(zip(DEVICES, cells[3:]))
            rows.append(Row(call[1], split_parameters(call[2]), served, section, place))
        elif not line.startswith("|"):
            in_table = False
            section = section._replace(operands=section.operands + line + "\n")
    return rows, bad


def absent(cell):
    return cell.startswith("none")


def same(row, function):
    """Parameters that the code does not name may be called anything."""
    if row.name != function.name or len(row.parameters) != len(function.parameters):
        return False
    return all(there in (None, here) for here, there in zip(row.parameters, function.parameters))


def call(primitive):
    return f"{primitive.name}({', '.join(name or '?' for name in primitive.parameters)})"


def check_device(rows, code, device, words):
    for row in rows:
        found = any(same(row, function) for function in code)
        folder = f"include/lpw/{DEVICES[device]}/*.hpp"
        if not absent(row.served[device]):
            if not found:
                yield f"{row.place}: {call(row)} is not overloaded for {device} in {folder}"
            for name in re.findall(r"`(\w+)`", row.served[device]):
                if name not in words:
                    yield f"{row.place}: {call(row)} is served by {name}, which {device} does not have"
        elif found:
            yield f"{row.place}: {call(row)} is overloaded for {device} in {folder}, but its row says none"
        elif not re.fullmatch(r"none: .+", row.served[device]):
            yield f"{row.place}: {call(row)} has none for {device}; say why, as none: WHY"
    for function in code:
        if not any(same(row, function) for row in rows):
            yield f"{function.place}: {call(function)} has no row in {DOCUMENT}"


def check_row(row, root):
    on_all = not any(absent(cell) for cell in row.served.values())
    if all(absent(cell) for cell in row.served.values()):
        yield f"{row.place}: no device has {call(row)}"
    for name in row.parameters:
        if f"`{name}`" not in row.section.operands:
            yield f"{row.place}: the section does not say what `{name}` of {call(row)} is"
    header = row.section.header
    if header and on_all and not (root / header).is_file():
        yield f"{row.place}: {header} does not exist"
    elif header and on_all and not re.search(rf"^// {re.escape(call(row))}:", (root / header).read_text(), re.M):
        yield f"{row.place}: {header} does not say what {call(row)} computes"


def words_of(root, folder):
    text = " ".join(file.read_text() for file in sorted((root / folder).rglob("*.hpp")))
    return set(re.findall(r"\w+", text))


def main(root):
    rows, bad = read_rows((root / DOCUMENT).read_text())
    for row in rows:
        bad += check_row(row, root)
        if [(other.name, other.parameters) for other in rows].count((row.name, row.parameters)) > 1:
            bad.append(f"{row.place}: {call(row)} has another row")
    homes = {}  # the names of the files that have a primitive
    for device, folder in DEVICES.items():
        files = sorted((root / "include/lpw" / folder).glob("*.hpp"))
        code = [function for file in files for function in functions(file, device)]
        for function in code:
            homes.setdefault(function.name, set()).add(Path(function.place.rsplit(":", 1)[0]).name)
        if not rows or not code:
            bad.append(f"found {len(rows)} rows, and {len(code)} primitives of {device}: is {root} the project's root?")
        bad += check_device(rows, code, device, words_of(root, f"include/lpw/{folder}"))
    for name, at in homes.items():
        if len(at) > 1:
            bad.append(f"{name} lies in files of different names: {', '.join(sorted(at))}")
    for line in bad:
        print(line.replace(f"{root}/", ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
