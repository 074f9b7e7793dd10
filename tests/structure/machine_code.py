#!/usr/bin/env python3
"""Usage: machine_code.py TABLE CUBIN [NVCC]    or    machine_code.py --find [NVCC]
Disassembles the kernels of a .cubin and holds them to TABLE, which says what it looks like. No kernel uses local
memory. Prints every violation, and how many kernels there were. Where there is no nvdisasm, beside nvcc, on the PATH or
in this Python's packages, it says so and exits with 77. --find prints the one that would be taken."""

import re
import subprocess
import sys
from collections import Counter, namedtuple

import disassembly

# required: {access: how often in one loop}; narrow: accesses allowed in innermost loops; beside: those of them allowed
# where vectors are moved as well; divisions: those allowed in loops
Row = namedtuple("Row", "pattern required narrow beside divisions place")
COLUMNS = 4


def cell_words(cell, place):
    """The words of "WORD...: WHY"; none of "-"."""
    if cell == "-":
        return []
    words, _, reason = cell.partition(":")
    if not reason.strip():
        raise ValueError(f'{place}: "{cell}": expected "-", or "WORD...: WHY"')
    return words.split()


def read_table(path):
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.startswith("|") or line.startswith(("| kernel ", "|--")):
                continue
            place = f"{path}:{number}"
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if len(cells) != COLUMNS:
                raise ValueError(f"{place}: {len(cells)} cells, expected {COLUMNS}")
            required = {}
            for word in cells[1].split() if cells[1] != "-" else []:
                access, _, count = word.partition("x")
                required[access] = int(count or 1)
            narrow = cell_words(cells[2], place)
            rows.append(Row(cells[0], required, {word.lstrip("+") for word in narrow},
                            {word[1:] for word in narrow if word.startswith("+")}, set(cell_words(cells[3], place)),
                            place))
    return rows


def matches(pattern, name):
    """"add" is every add, "add<float>" those whose first argument is float."""
    family, _, arguments = name.partition("<")
    first = re.split(r"[,>]", arguments)[0]
    return pattern in (family, f"{family}<{first}>")


def access(instruction):
    """"STG.EF.128": whether past the caches that blocks do not share (STRONG) or not to stay in the cache (EF), and
    bits; None for what is no access to global memory. A copy to shared memory is LDGSTS."""
    kind, *modifiers = instruction.opcode.split(".")
    if kind not in ("LDG", "STG", "LDGSTS"):
        return None
    policy = [word for word in ("EF", "STRONG") if word in modifiers]
    bits = next((word for word in modifiers if re.fullmatch(r"[US]?(8|16|64|128|256)", word)), "32")
    return ".".join([kind, *policy, bits.lstrip("US")])


def is_vector(kind):
    return kind.endswith((".128", ".256"))


def divisions(block):
    """Integers are divided by a function where they have 64 bits, else through a rounded-up reciprocal; what is left of
    the reciprocals divides floats."""
    integer = reciprocals = 0
    functions = set()
    for instruction in block:
        kind, *modifiers = instruction.opcode.split(".")
        integer += kind == "I2F" and "RP" in modifiers
        reciprocals += kind == "MUFU" and any(word.startswith("RCP") for word in modifiers)
        if kind == "CALL":
            functions.update(re.findall(r"_(div|rem|rcp)_([su]?)", instruction.operands))
    found = set()
    if integer or any(sign for _, sign in functions):
        found.add("int")
    if reciprocals > integer or any(not sign for _, sign in functions):
        found.add("float")
    return found


def check_kernel(kernel, row):
    """Yields what is wrong with a kernel."""
    everything = Counter(instruction.opcode.split(".")[0] for instruction in kernel.instructions())
    for opcode in ("LDL", "STL"):
        if everything[opcode]:
            yield f"uses local memory: {opcode} {everything[opcode]} times"
    if kernel.name.endswith(("<1>", ", 1>")):
        return  # one element a thread: for odd shapes
    most, forbidden, beside = Counter(), set(), set()
    for loop in kernel.loops:
        inner = [other for other in kernel.loops if other < loop]
        blocks = sorted(loop.difference(*inner))
        instructions = [instruction for block in blocks for instruction in kernel.blocks[block]]
        accesses = Counter(filter(None, map(access, instructions)))
        most |= accesses
        for kind in sorted(divisions(instructions)):
            if f"{kind}+" not in row.divisions and not (inner and kind in row.divisions):
                yield f"divides ({kind}) in {'a loop that has loops in it' if inner else 'an innermost loop'}"
        if not inner:
            narrow = {kind for kind in accesses if not is_vector(kind) and kind not in row.required}
            forbidden |= narrow - row.narrow
            if any(map(is_vector, accesses)):
                beside |= narrow & row.narrow - row.beside
    for kind in sorted(forbidden):
        yield f"has {kind} in an innermost loop"
    for kind in sorted(beside):
        yield f"has {kind} in a loop with vectors"
    for kind, count in row.required.items():
        if most[kind] < count:
            yield f"has {kind} {most[kind]} times in a loop, expected {count}"


def check(table, cubin, nvdisasm):
    rows, used, bad = read_table(table), set(), 0
    kernels = disassembly.kernels(cubin, nvdisasm)
    for kernel in kernels:
        row = next((row for row in rows if matches(row.pattern, kernel.name)), None)
        if row is None:
            problems = ["has no row"]
        else:
            used.add(row.place)
            problems = list(dict.fromkeys(check_kernel(kernel, row)))
        for problem in problems:
            print(f"{row.place if row else table}: {kernel.name} {problem}")
        bad += len(problems)
    for row in rows:
        if row.place not in used:
            print(f"{row.place}: there is no kernel {row.pattern}")
            bad += 1
    print(f"{len(kernels)} kernels held to {len(rows)} rows, {bad} violations")
    return bad == 0 and bool(kernels)


def main(arguments):
    find = arguments[:1] == ["--find"]
    files, nvcc = ([], arguments[1:2]) if find else (arguments[:2], arguments[2:3])
    if not find and len(files) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    nvdisasm = disassembly.find_nvdisasm(*nvcc)
    if not nvdisasm:
        print("SKIPPED: no nvdisasm beside nvcc, on the PATH or among Python's packages (nvidia-cuda-nvdisasm, triton)")
        return 77
    if find:
        print(nvdisasm)
        return 0
    try:
        return 0 if check(*files, nvdisasm) else 1
    except subprocess.CalledProcessError as error:
        print(f"SKIPPED: {nvdisasm} does not read {files[1]}: {error.stderr.strip()}")
        return 77
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
