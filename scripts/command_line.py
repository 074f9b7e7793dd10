#!/usr/bin/env python3
"""Usage: command_line.py [--check] PROGRAM...
Writes docs/command-line.md from what the programs say to --help, in their order; or with --check says whether it is
that already (exit 1: no)."""

import pathlib
import re
import subprocess
import sys
import textwrap

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "command-line.md"
HEAD = """# Command line: all options of the programs

`scripts/command_line.py` makes this page of what each program says to `--help`; a test keeps it in step.
Packages have the programs as `lpw-cifar` and so on. `--version` says for which instruction set a program is built.

Options of a trainer can stand in a file, `--config FILE`, as TOML in tables or without; `config.toml` in a run's folder
is one. What stands on the command line goes before what stands in the file, and of an option that is given twice the
last counts. An option that would do nothing beside the others is refused. A run's checkpoint records all but the
options that say where things lie.
"""
PAIR = re.compile(r"^  (?:-\w,)?(--[\w-]+)(?: ([A-Z]+)(?::\{(.*?)\})?(?:=(\S*))?)?(?:\s+(.*))?$")


def text(help_text):
    """A cell of a table."""
    return re.sub(r"(?<!\S)(--[a-z][\w-]*)", r"`\1`", re.sub(r"([|*<>_])", r"\\\1", help_text))


def tables(help_text):
    """The lines of a program's part: a heading and a table for each group of options."""
    purpose, *lines = help_text.splitlines()
    result, option = textwrap.wrap(text(purpose), 120), None
    for line in lines:
        found = PAIR.match(line)
        if re.match(r"^\w.*:$", line) and line != "Options:":
            result += ["", f"**{line[:-1]}**", "", "| option | default | meaning |", "|---|---|---|"]
        elif found and found[1] not in ("--help", "--version"):
            name, kind, choices, default, meaning = found.groups()
            option = [f"`{name}{' ' + kind if kind else ''}`", f"`{default}`" if default else "", meaning or ""]
            if meaning:
                result.append(f"| {option[0]} | {option[1]} | {text(meaning)} |")
        elif line.strip() and option and not option[2] and line.startswith(" " * 10):
            option[2] = line.strip()
            result.append(f"| {option[0]} | {option[1]} | {text(option[2])} |")
    return result


def defaults(help_text):
    """The default of each option that has one."""
    found = [PAIR.match(line) for line in help_text.splitlines()]
    return {match[1][2:]: match[4] or "" for match in found if match}


def started(own, trainer, help_text):
    """The lines of a program that starts a trainer with other defaults: what it says before the trainer says its own,
    a purpose, `option = value` in lines, and how it is called."""
    purpose, settings, *calls = own.strip().split("\n\n")
    others, lines = defaults(help_text), textwrap.wrap(text(purpose), 120)
    lines += ["", f"| option | default | of {trainer} |", "|---|---|---|"]
    for name, value in re.findall(r"^([\w-]+) = (.*)$", settings, re.M):
        lines.append(f"| `--{name}` | `{value.strip(chr(34))}` | `{others.pop(name)}` |")
    lines += ["", f"All other options, and what these mean, are {trainer}'s, above.", "", "```sh"]
    return lines + [call.strip() for call in calls] + ["```"]


def page(programs):
    parts = [HEAD]
    for program in programs:
        said = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
        begin = re.search(r"^.*\nUsage: (\S+)", said, re.M)
        trainer = pathlib.Path(begin[1]).name
        if trainer != pathlib.Path(program).name:
            lines = started(said[: begin.start()], trainer, said[begin.start() :])
            parts.append(f"\n## {pathlib.Path(program).name}\n\n" + "\n".join(lines) + "\n")
            continue
        options = len(re.findall(r"^  --", said, re.M))
        lines = tables(said)
        rows = sum(line.startswith("| `--") for line in lines)
        if options != rows or rows == 0:
            sys.exit(f"{program}: of {options} options in --help {rows} are understood")
        parts.append(f"\n## {pathlib.Path(program).name}\n\n" + "\n".join(lines) + "\n")
    return "".join(parts)


def main(arguments):
    check = arguments[:1] == ["--check"]
    made = page(arguments[check:])
    if not check:
        PAGE.write_text(made, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != made:
        sys.exit(f"{PAGE.name} is not what the programs say: scripts/command_line.py {' '.join(arguments[1:])}")


if __name__ == "__main__":
    main(sys.argv[1:])
