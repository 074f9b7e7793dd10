"""A study's runs as they are kept with the project: options, configuration and summary of each, a table, and pictures;
and the check that the table, and its copy in a document, are what the runs say."""

import itertools
import re
import shutil

from figures import figures, final_runs
from folders import Place, toml_line
from pictures import differences_picture
from plan import PATHS, require
from tables import table

END = "<!-- end -->"


def export(study, out, folder):
    """Copies what is finished. Paths of data in configurations are as the study's file has them."""
    for method in study.methods.values():
        runs = [run for trial in study.trials(method) for run in trial] + final_runs(study, method, out)
        for run in runs:
            source, target = Place(out, run), Place(folder, run)
            summary = source.summary()
            if summary is None and not (run.trial and source.diverged()):
                continue
            target.folder.mkdir(parents=True, exist_ok=True)
            config = (source.folder / "config.toml").read_text(encoding="utf-8")
            (target.folder / "config.toml").write_text(without_places(config, run.options), encoding="utf-8")
            options = "".join(toml_line(*option) for option in run.options.items())
            target.beside(".toml").write_text(options, encoding="utf-8")
            if summary is not None:
                shutil.copyfile(source.folder / "summary.json", target.folder / "summary.json")
    for name in ("table.md", "curves.svg", "differences.svg"):
        if (out / name).exists():
            shutil.copyfile(out / name, folder / name)


def without_places(config, options):
    given = lambda match: toml_line(match[1], options[match[1]]) if match[1] in options else ""
    return re.sub(rf"^({'|'.join(PATHS)}) = .*\n", given, config, flags=re.MULTILINE)


def check(study, folder, documents):
    """Throws Refused where the table of an exported folder, the picture of differences, or a document's copy of the
    table is not that of its runs."""
    require((folder / "table.md").exists(), folder, ": has no table.md; --export writes one")
    found = figures(study, folder)
    require_complete(found, folder)
    expected = table(study, found)
    same(expected, (folder / "table.md").read_text(encoding="utf-8"), folder / "table.md")
    picture = folder / "differences.svg"
    if picture.exists():
        same(differences_picture(study, found), picture.read_text(encoding="utf-8"), picture)
    for document in documents:
        text = document.read_text(encoding="utf-8")
        span = embedded(study, text, document)
        same(expected, text[slice(*span)], document)


def require_complete(found, folder):
    runs = sum(len(method["seeds"]) for method in found["methods"].values())
    require(runs > 0, folder, ": has no finished run")


def same(expected, text, where):
    lines = itertools.zip_longest(expected.strip().split("\n"), text.strip().split("\n"))
    for should, line in lines:
        require(line == should, where, f": is not what the runs say: expected {should!r}, found {line!r}")


def embedded(study, text, document):
    """From where to where a document has the study's table: between the lines <!-- study NAME --> and <!-- end -->."""
    mark = f"<!-- study {study.name} -->"
    place = re.search(rf"^{re.escape(mark)}$(.*?)^{END}$", text, re.MULTILINE | re.DOTALL)
    require(place, document, f": has no place for the table, between the lines {mark} and {END}")
    return place.span(1)


def embed(study, expected, document):
    text = document.read_text(encoding="utf-8")
    begin, end = embedded(study, text, document)
    document.write_text(text[:begin] + "\n" + expected.strip() + "\n" + text[end:], encoding="utf-8")
