#!/usr/bin/env python3
"""Usage: questions.py ROOT
The ten questions of docs/start.md are answered where its table says, and there a search for their plain words arrives
first: of the sections of README.md and docs/*.md, by BM25 (Robertson & Zaragoza 2009), the words of a heading counted
five times. The heading that answers has words of the question. Prints what is not so."""

import math
import re
import sys
from collections import Counter
from pathlib import Path

QUESTIONS = "Ten questions"
STOP = set("a an and as by do for from how i in is it my of on or own the to use what where with".split())
HEADING_COUNTS, K1, B = 5, 1.2, 0.75


def words(text):
    """Its plain words, without the ends that English puts on them."""
    found = [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP]
    return [re.sub(r"(?<=\w{3})(ed|es|s|e)$", "", word) for word in found]


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def sections(path):
    """Pairs of heading and text."""
    result, fence = [("", [])], False
    for line in path.read_text(encoding="utf-8").splitlines():
        fence ^= line.startswith("```")
        found = re.match(r"#+ (.*)", line)
        if found and not fence:
            result.append((found[1], []))
        elif not fence:
            result[-1][1].append(line)
    return [(heading, "\n".join(lines)) for heading, lines in result if heading]


class Search:
    def __init__(self, root):
        self.places, self.counts = [], []
        for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
            for heading, text in sections(path):
                if heading == QUESTIONS:
                    continue
                self.places.append((path.name, heading))
                self.counts.append(Counter(words(heading) * HEADING_COUNTS + words(text)))
        self.mean = sum(counts.total() for counts in self.counts) / len(self.counts)

    def first(self, question):
        return self.places[max(range(len(self.places)), key=lambda at: self.score(question, self.counts[at]))]

    def score(self, question, counts):
        total = 0
        for word in set(words(question)):
            holding = sum(word in other for other in self.counts)
            weight = math.log(1 + (len(self.counts) - holding + 0.5) / (holding + 0.5))
            often = counts[word]
            total += weight * often * (K1 + 1) / (often + K1 * (1 - B + B * counts.total() / self.mean))
        return total


def main():
    root = Path(sys.argv[1])
    start = root / "docs" / "start.md"
    table = dict(sections(start)).get(QUESTIONS, "")
    rows = re.findall(r"^\| (.+?) \| \[.*?\]\((.+?)#(.+?)\) \|$", table, re.M)
    errors = [] if len(rows) == 10 else [f"docs/start.md: {len(rows)} questions are answered by a link, expected 10"]
    search = Search(root)
    for question, page, anchor in rows:
        path = root / "docs" / page
        headings = [heading for heading, _ in sections(path)] if path.is_file() else []
        heading = next((heading for heading in headings if slug(heading) == anchor), None)
        if heading is None:
            errors.append(f"docs/start.md: '{question}' is answered in {page}#{anchor}, which is not there")
            continue
        if not set(words(question)) & set(words(heading)):
            errors.append(f"docs/{page}: '{heading}' has no word of '{question}'")
        found, where = search.first(question)
        if found != page:
            errors.append(f"a search for '{question}' finds '{where}' of {found} first, not {page}")
    print("\n".join(errors), file=sys.stderr) if errors else print(f"questions: {len(rows)} are answered")
    return 1 if errors else 0


sys.exit(main())
