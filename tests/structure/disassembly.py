"""Machine code of CUDA kernels as NVIDIA's nvdisasm prints it: the kernels of a .cubin, their instructions, and the
loops that these are in."""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

# opcode: with its modifiers, as in "LDG.E.128"; operands: the rest, without the condition before it
Instruction = namedtuple("Instruction", "conditional opcode operands")


def python_packages():
    """The nvdisasm of PyPI's nvidia-cuda-nvdisasm or of PyTorch's triton, in whichever version."""
    for package, pattern in (("nvidia", "*/bin/nvdisasm"), ("triton", "backends/nvidia/bin/nvdisasm")):
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            yield from sorted(Path(folder).glob(pattern))


def find_nvdisasm(nvcc=None):
    """That of the toolkit, else that on the PATH, else that of this Python's packages; None if there is none."""
    beside = [Path(nvcc).resolve().with_name("nvdisasm")] if nvcc else []
    on_path = shutil.which("nvdisasm")
    for candidate in (*beside, *([on_path] if on_path else []), *python_packages()):
        if os.access(candidate, os.X_OK):
            return str(candidate)
    return None


class Kernel:
    """name: demangled, without namespaces, as in "add<half, 8>"; blocks: lists of instructions that run one after the
    other, of which the first begins the kernel; following: for each block, the blocks that may come next."""

    def __init__(self, name, lines):
        self.name = name
        self.blocks, starts = [[]], {}
        ends = True  # an empty first block needs no other
        for line in lines:
            if label := re.match(r"(\S+):\s*$", line):
                if self.blocks[-1]:
                    self.blocks.append([])
                starts[label[1]] = len(self.blocks) - 1
            elif text := re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:(@\S+)\s+)?(\S+)(.*?)\s*;", line):
                if ends and self.blocks[-1]:
                    self.blocks.append([])
                self.blocks[-1].append(Instruction(bool(text[1]), text[2], text[3].strip()))
                ends = text[2].split(".")[0] in ("BRA", "BRX", "EXIT", "RET", "KILL")
        self.following = [self.next_blocks(number, starts) for number in range(len(self.blocks))]

    def next_blocks(self, number, starts):
        """Functions that are called come back, so a call is an instruction like others; so is a BSYNC, which waits for
        the threads that are to meet at its end."""
        following = []
        if number + 1 < len(self.blocks):
            following.append(number + 1)
        last = self.blocks[number][-1] if self.blocks[number] else None
        kind = last.opcode.split(".")[0] if last else ""
        if kind == "BRX" and (table := re.search(r'"BRANCH_TARGETS ([^"]+)"', last.operands)):  # a switch
            return [starts[label] for label in table[1].split(",")] + (following if last.conditional else [])
        if kind in ("BRX", "JMP", "JMX", "BRXU", "JMXU"):
            raise ValueError(f"{self.name}: {last.opcode} leads to a place that is not known beforehand")
        if kind == "BRA":
            # Besides @P, a predicate or .DIV before the target makes a branch conditional.
            target = re.search(r"`\(([^)]*)\)$", last.operands)
            if not target or target[1] not in starts:
                raise ValueError(f"{self.name}: {last.opcode} {last.operands}: expected a label of the kernel")
            always = not last.conditional and last.operands.startswith("`") and ".DIV" not in last.opcode
            return ([] if always else following) + [starts[target[1]]]
        if kind in ("EXIT", "RET", "KILL") and not last.conditional:
            return []
        return following

    def instructions(self):
        return [instruction for block in self.blocks for instruction in block]

    @functools.cached_property
    def loops(self):
        """Sets of blocks, a loop's together with those of the loops in it: what a jump back to a block, which all ways
        from the kernel's beginning pass, comes from without passing it."""
        order, dominator = self.dominators()
        position = {block: i for i, block in enumerate(order)}
        before = {block: [] for block in order}
        for block in order:
            for following in self.following[block]:
                before[following].append(block)

        def dominates(above, below):
            while position[below] > position[above]:
                below = dominator[below]
            return above == below

        loops = {}
        for block in order:
            for head in self.following[block]:
                if dominates(head, block):
                    body, reached = loops.setdefault(head, {head}), [block]
                    while reached:
                        if (inner := reached.pop()) not in body:
                            body.add(inner)
                            reached += before[inner]
                elif position[head] <= position[block]:
                    raise ValueError(f"{self.name}: a loop with two entries, whose range is not known")
        return list(loops.values())

    def dominators(self):
        """The blocks in reverse postorder, and of each the last that all ways to it pass: Cooper, Harvey, Kennedy."""
        order, seen, stack = [], {0}, [(0, iter(self.following[0]))]
        while stack:
            block, rest = stack[-1]
            if (following := next(rest, None)) is None:
                order.append(block)
                stack.pop()
            elif following not in seen:
                seen.add(following)
                stack.append((following, iter(self.following[following])))
        order.reverse()
        position = {block: i for i, block in enumerate(order)}
        before = {block: [] for block in order}
        for block in order:
            for following in self.following[block]:
                before[following].append(block)
        dominator, changed = {0: 0}, True

        def common(a, b):
            while a != b:
                if position[a] < position[b]:
                    a, b = b, a
                a = dominator[a]
            return a

        while changed:
            changed = False
            for block in order[1:]:
                known = [other for other in before[block] if other in dominator]
                new = functools.reduce(common, known)
                if dominator.get(block) != new:
                    dominator[block], changed = new, True
        return order, dominator

    def in_innermost_loops(self):
        """Instructions of loops that have no loop in them."""
        inner = [loop for loop in self.loops if not any(other < loop for other in self.loops)]
        return [self.blocks[block] for loop in inner for block in sorted(loop)]


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def kernel_name(demangled):
    """As "add<half, 8>" of "void lpw::x::kernels::add<lpw::x::half, 8>(lpw::x::kernels::Add<lpw::x::half>)"."""
    name = re.sub(r"\b\w+::", "", demangled).removeprefix("void ").split("(")[0]
    return re.sub(r"\((?:int|bool)\)", "", name)


def kernels(cubin, nvdisasm):
    """Those that the host launches, in the order of their names."""
    lines_of, lines = {}, None
    for line in run(nvdisasm, "-c", cubin).splitlines():
        if section := re.match(r"\.text\.(\S+):", line):
            lines = lines_of.setdefault(section[1], [])
        elif line.startswith(("//---", "\t.section")):
            lines = None
        elif lines is not None:
            lines.append(line)
    demangled = run("c++filt", input="\n".join(lines_of)).splitlines()
    return sorted((Kernel(kernel_name(name), text) for name, text in zip(demangled, lines_of.values())),
                  key=lambda kernel: kernel.name)
