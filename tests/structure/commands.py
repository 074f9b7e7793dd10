#!/usr/bin/env python3
"""Usage: commands.py ROOT
What README.md, CONTRIBUTING.md, docs/*.md and the examples' README.md tell a reader to type can be typed: in blocks of
```sh and in `code` that begins with a script or a program, these are there and have the options that they are given
(docs/command-line.md has the programs', which a test holds against --help; a script's stand in it), presets, targets
and paths of the tree exist. An option that is named anywhere is one of theirs, or of the tools in FOREIGN. Nothing is
run. Prints every violation."""

import json
import re
import shlex
import sys
from pathlib import Path

FOREIGN = {  # other programs' options that the documents name
    "cmake": "--build --install --prefix --preset --target",
    "ctest": "--preset",
    "g++": "",
    "export": "",
    "pkg-config": "--cflags --libs",
    "mpirun": "--bind-to --map-by --mca",
    "sbatch": "--gpus-per-task --kill-on-bad-exit --nodes --ntasks-per-node",
    "conan": "",
    "vcpkg": "--overlay-ports",
}
STARTERS = {"mpirun", "sbatch"}  # of other programs, after their own options
FOLDERS = r"(?:include|kernels|scripts|docs|tests|examples|benchmarks|cmake)/"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


class Tree:
    """What there is to be called."""

    def __init__(self, root):
        self.root = root
        page = root / "docs" / "command-line.md"
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        parts = re.split(r"^## ([\w-]+)$", text, flags=re.M)
        self.programs = {name: set(OPTION.findall(part)) for name, part in zip(parts[1::2], parts[2::2])}
        if {"finetune", "cifar"} <= self.programs.keys():  # which it starts
            self.programs["finetune"] |= self.programs["cifar"]
        for options in self.programs.values():
            options |= {"--help", "--version"}
        presets = root / "CMakePresets.json"
        found = json.loads(presets.read_text(encoding="utf-8"))["configurePresets"] if presets.exists() else []
        self.presets = {preset["name"] for preset in found if not preset.get("hidden")}
        scripts = [
            path for folder in ("scripts", "benchmarks", "examples/study") for path in root.glob(f"{folder}/**/*")
        ]
        self.scripts = {
            path.relative_to(root).as_posix(): self.options_in(path)
            for path in scripts
            if path.suffix in (".sh", ".py", ".cpp", ".hpp")
        }
        self.options = set().union(*self.programs.values(), *self.scripts.values())
        self.options.update(*(options.split() for options in FOREIGN.values()))

    def options_in(self, path):
        """What stands in a script, and in those beside it that it takes in."""
        texts, left = {}, [path]
        while left:
            path = left.pop()
            texts[path] = path.read_text(encoding="utf-8")
            names = re.findall(r"^(?:from|import) (\w+)", texts[path], re.M) if path.suffix == ".py" else ["common"]
            beside = [path.with_name(name + path.suffix) for name in names]
            left += [other for other in beside if other not in texts and other.exists()]
        return set(OPTION.findall("\n".join(texts.values()))) | {"--help"}


def blocks(text):
    """(line, text, True) of each line of a block of ```sh, and (line, code, False) of each `code` of prose."""
    found, kind = [], None
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r" *```(\w*)", line)
        if fence:
            kind = None if kind is not None else fence[1]
        elif kind in ("sh", "bash"):
            found.append((number, line, True))
        elif kind is None:
            found += [(number, code, False) for code in re.findall(r"`([^`]+)`", line)]
    return found


def calls(line):
    """The commands of a line, as lists of words."""
    line = re.sub(r"(^|\s)#.*", "", line)
    line = re.sub(r"\$\(([^)]*)\)", r"; \1 ;", line)
    for part in re.split(r"&&|\|\||[;|]", line):
        words = shlex.split(part)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        if words:
            yield words


def check_call(tree, words, strict):
    """What is wrong with a command. `strict`: it may not be of unknown programs."""
    name, rest = words[0], words[1:]
    program = Path(name).name
    options = {word.split("=")[0] for word in rest if OPTION.match(word)}
    if name in STARTERS:
        at = next((i for i, word in enumerate(rest) if "/" in word and not word.startswith("-")), len(rest))
        options = {word.split("=")[0] for word in rest[:at] if OPTION.match(word)}
        known = set(FOREIGN[name].split())
        if rest[at:]:
            yield from check_call(tree, rest[at:], strict)
    elif name in tree.scripts:
        known = tree.scripts[name]
    elif re.match(r"build/[\w.-]+/", name) or (name == program and program in tree.programs):
        if program not in tree.programs:
            yield f"{name}: there is no such program"
            return
        if name != program and name.split("/")[1] not in tree.presets:
            yield f"{name}: there is no preset {name.split('/')[1]}"
        known = tree.programs[program]
    elif name in FOREIGN:
        known = set(FOREIGN[name].split())
    else:
        if strict or re.match(FOLDERS, name):
            yield f"{name}: there is no such program or script"
        return
    for option in sorted(options - known):
        yield f"{name} has no option {option}"
    for option, value in zip(rest, rest[1:]):
        if option == "--preset" and value not in tree.presets:
            yield f"there is no preset {value}"
        if option == "--target" and value not in tree.programs:
            yield f"there is no target {value}"
    for word in rest:
        path = word.rpartition("=")[2]
        placeholder = re.search(r"(^|/)[A-Z_]{2,}(/|$)|[*{}<>]", path)
        if re.match(FOLDERS, path) and not placeholder and not (tree.root / path).exists():
            yield f"{path} does not exist"


def begins_as_call(tree, code):
    """Whether inline code is a command: of a script, or of a program with options."""
    first, _, rest = code.partition(" ")
    return (
        first in tree.scripts
        or re.match(r"scripts/|build/\w+/examples/", first)
        or (first in tree.programs and rest.startswith("--"))
    )


def check(tree, path):
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        for option in OPTION.findall(line):
            if option not in tree.options:
                yield number, f"{option}: nothing here has such an option"
    pending = ""
    for number, line, whole in blocks(text):
        if whole and line.endswith("\\"):
            pending += line[:-1]
            continue
        if whole or begins_as_call(tree, line):
            for words in calls(pending + line):
                yield from ((number, what) for what in check_call(tree, words, strict=whole))
        pending = ""


def main(root):
    tree = Tree(root)
    documents = [
        root / "README.md",
        root / "CONTRIBUTING.md",
        *root.glob("docs/*.md"),
        *root.glob("examples/*/README.md"),
    ]
    bad = [
        f"{path.relative_to(root)}:{number}: {what}"
        for path in sorted(documents)
        if path.exists()
        for number, what in check(tree, path)
    ]
    print("\n".join(dict.fromkeys(bad)), end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
