"""Usage: readme_figures.py ROOT
What README.md says of results, between <!-- figures of STUDY --> and <!-- end -->, is what docs/results has. A row of
its table has the first cell of a row of the study's table, and under each heading what that has. Each number with a
decimal point in a sentence stands in a row of a published table, as a mean or with its interval, whose method the
sentence names: by its title, or what that has before a comma."""

import pathlib
import re
import sys

PART = re.compile(r"^<!-- figures of (\S+) -->$(.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL)


def rows(text):
    """Tables' lines, as cells."""
    lines = [line for line in text.split("\n") if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]


def columns(heading, known):
    """Where the headings are among those known, each after the one before it: a difference is that of its score."""
    found = [0]
    for name in heading[1:]:
        found.append(known.index(name, found[-1] + 1))
    return found


def problems_of_table(text, table):
    """Of the first table there, beside the first of the study."""
    (heading, *lines), (known, *all) = rows(text), rows(table.split("\n\n")[0])
    places, methods = columns(heading, known), {row[0]: row for row in all}
    for line in lines:
        if line[0] not in methods:
            yield f"{line[0]}: is no method of the study"
        elif line != (expected := [methods[line[0]][place] for place in places]):
            yield f"{line}: expected {expected}"


def problems_of_sentences(text, tables):
    prose = " ".join(line for line in text.split("\n") if not line.startswith("|"))
    published = [row for table in tables for row in rows(table)]
    for sentence in re.split(r"(?<=[.:;]) ", prose):
        named = [" | ".join(row) for row in published if row[0] and row[0].split(",")[0] in sentence]
        for figure in re.findall(r"\d+\.\d+(?: ± \d+\.\d+)?", sentence):
            exact = re.compile(rf"(?<![\d.])(?<!± ){re.escape(figure)}(?!\d)")
            if not any(exact.search(row) for row in named):
                yield f"{figure}: stands in no row of a method that the sentence names: {sentence.strip()}"


def problems(readme, tables):
    parts = PART.findall(readme)
    if not parts:
        yield "has no <!-- figures of STUDY -->"
    for study, text in parts:
        yield from problems_of_table(text, tables[study])
        yield from problems_of_sentences(text, tables.values())


def changes(readme):
    """The text with a digit of each figure changed, and with the figures of two rows exchanged."""
    begin, end = PART.search(readme).span()
    for match in re.finditer(r"\d+\.\d+", readme):
        if begin < match.start() and match.end() < end:
            last = match.end() - 1
            yield readme[:last] + str((int(readme[last]) + 5) % 10) + readme[last + 1 :]
    lines = [line for line in readme[begin:end].split("\n") if line.startswith("|")][2:]
    for one, other in zip(lines, lines[1:], strict=False):
        (title, figures), (second, others) = (line[1:].split("|", 1) for line in (one, other))
        yield readme.replace(one, f"|{title}|{others}").replace(other, f"|{second}|{figures}")


def main(root):
    readme = (root / "README.md").read_text(encoding="utf-8")
    tables = {path.parent.name: path.read_text(encoding="utf-8") for path in root.glob("docs/results/*/table.md")}
    found = [f"README.md: {problem}" for problem in problems(readme, tables)]
    unseen = [text for text in changes(readme) if not any(problems(text, tables))] if not found else []
    found += [f"a planted change is not found: {PART.search(text)[2]}" for text in unseen]
    print("\n".join(found))
    return 1 if found else 0


sys.exit(main(pathlib.Path(sys.argv[1])))
