#!/usr/bin/env python3
"""Usage: questions.py ROOT SITE
The site's search, which Node.js runs as a browser does, finds what docs/start.md says answers each of a newcomer's
questions before all else, and what searches.txt says of single words; and all that it can find is there. SITE is
scripts/docs.sh's folder. Prints what is not so. Exit 77 without Node.js, or a site without lunr."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ASK = """
const vm = require("vm"), fs = require("fs"), [site, questions] = process.argv.slice(1);
exports = undefined;  // of which a browser has none
for (const script of ["lunr.min.js", "search_documents.js", "search.js"])
  vm.runInThisContext(fs.readFileSync(`${site}/${script}`, "utf8"));
const index = makeIndex(searchDocuments);
const found = JSON.parse(questions).map((question) => search(index, searchDocuments, question).map(([link]) => link));
console.log(JSON.stringify({ found, links: searchDocuments.map(([link]) => link) }));
"""


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(77)


def place(link):
    """Of a page's heading in the site."""
    page, _, anchor = link.partition("#")
    name = Path(page).stem.lower().replace("_", "-")
    return f"{'index' if name == 'readme' else name}.html" + (f"#{name}-{anchor}" if anchor else "")


def searches(root):
    """Pairs of words and the link in the site that is to be found first, empty where nothing is."""
    path = root / "tests" / "structure" / "searches.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [tuple(part.strip() for part in line.split("=>")) for line in lines if not line.startswith("#")]


def missing(site, links):
    """Those that lead nowhere."""
    anchors = {}
    for link in links:
        page, _, anchor = link.partition("#")
        if page not in anchors:
            path = site / page
            text = path.read_text(encoding="utf-8") if path.is_file() else None
            anchors[page] = text if text is None else {"", *re.findall(r'(?:id|name)="([^"]*)"', text)}
        if anchors[page] is None or anchor not in anchors[page]:
            yield link


def main():
    root, site = Path(sys.argv[1]), Path(sys.argv[2]) / "html"
    if not shutil.which("node"):
        skip("there is no node (Debian and Ubuntu: scripts/setup.sh)")
    if not (site / "search_documents.js").is_file():
        skip(f"{site} has no search; scripts/docs.sh needs doxygen and libjs-lunr for it")
    page = (root / "docs" / "start.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| \[.*?\]\((.+?)\) \|$", page, re.M)
    asked = [(question, place(link)) for question, link in rows] + searches(root)
    questions = json.dumps([question for question, _ in asked])
    command = ["node", "-e", ASK, str(site), questions]
    answers = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    errors = [] if rows else ["docs/start.md has no questions with links to their answers"]
    errors += [f"the search finds {link}, which is not there" for link in missing(site, answers["links"])]
    for (question, link), found in zip(asked, answers["found"]):
        if found[:1] != ([link] if link else []):
            said = ", ".join(found[:3]) or "nothing"
            errors.append(f"a search for '{question}' finds {said}; expected {f'{link} first' if link else 'nothing'}")
    print("\n".join(errors), file=sys.stderr) if errors else print(f"questions: {len(asked)} are answered")
    return 1 if errors else 0


sys.exit(main())
