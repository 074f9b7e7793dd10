#!/usr/bin/env python3
"""Usage: options.py ROOT
Holds what README.md and docs/*.md say of options, `Options{.field = default, .other}`, against the headers. At the
beginning of a list's item it names all fields in the order of their declaration, with their defaults; elsewhere some
that are there, in that order. Each struct of include/lpw named Options, Shape, Rates, Group or Broadcast has such an
item, but for those of programs (train/). Prints every violation."""

import re
import sys
from pathlib import Path

STRUCT = re.compile(r"^struct (\w*(?:Options|Shape|Rates|Group|Broadcast))\s*(?::[^{]*)?\{\n(.*?)^\};", re.M | re.S)
WITHOUT = ("cpu", "cuda", "train")  # folders


def cut(text, separator):
    """The parts of a text between separators that are in no brackets and no quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == "'"
        if not quoted:
            depth += (character in "({[<") - (character in ")}]>")
        if character == separator and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def plain(text):
    return re.sub(r"\s+", " ", text).strip()


def declarations(body):
    """A struct's fields as they are declared, without its functions."""
    statement, depth = "", 0
    for character in re.sub(r"//.*", "", body):
        depth += (character in "({") - (character in ")}")
        if depth > 0 or character not in ";}":
            statement += character
        elif character == "}" and "(" not in statement.partition("{")[0]:
            statement += character  # of what a field is made with
        else:
            if character == ";" and not re.search(r"\boperator\b", statement):
                yield statement
            statement = ""


def fields(body):
    """Of a struct's body: ".name = default", or ".name" alone, of each field."""
    result = []
    for declaration in declarations(body):
        for part in cut(declaration, ","):
            name, default = re.fullmatch(r"(?:[^={]*[\s>])?(\w+)(\s*=\s.+|\{.*\})?", part, re.S).groups(default="")
            result.append(f".{name}{' ' * default.lstrip().startswith('=')}{plain(default)}")
    return result


def name_of(field):
    return re.match(r"\.(\w+)", field)[1]


def structs(root):
    """The fields of every struct, by its name."""
    found = {}
    for file in sorted((root / "include/lpw").rglob("*.hpp")):
        if file.relative_to(root / "include/lpw").parts[0] not in WITHOUT:
            found.update({name: fields(body) for name, body in STRUCT.findall(file.read_text(encoding="utf-8"))})
    return {name: all for name, all in found.items() if all}


def citations(path):
    """(line, whether it begins a list's item, struct, fields) of each."""
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"`(\w+)\{(\.[^`]*)\}`", text):
        begin = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        yield text.count("\n", 0, match.start()) + 1, begin == "* ", match[1], cut(plain(match[2]), ",")


def check(place, whole, name, cited, there):
    if whole and cited != there:
        yield f"{place}: expected `{name}{{{', '.join(there)}}}`, all fields in their order, with their defaults"
        return
    order = [name_of(field) for field in there]
    for field in cited:
        if name_of(field) not in order:
            yield f"{place}: {name} has no field .{name_of(field)}, or has it before"
            return
        order = order[order.index(name_of(field)) + 1 :]


def main(root):
    there, bad, listed = structs(root), [], set()
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        for line, whole, name, cited in citations(path):
            if name in there:
                bad += check(f"{path}:{line}", whole, name, cited, there[name])
                listed |= {name} if whole else set()
    if not there:
        bad.append(f"found no options: is {root} the project's root?")
    for name in sorted(set(there) - listed):
        bad.append(f"docs/: no list has `{name}{{{', '.join(there[name])}}}`")
    for line in bad:
        print(line.replace(f"{root}/", ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
