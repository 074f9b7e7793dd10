"""A study's runs as they are kept with the project: options, configuration and summary of each, a table, and pictures;
and the check that the table, and its copy in a document, are what the runs say."""

import csv
import io
import itertools
import re
import shutil

import contents
import evaluations
from figures import SCORES, TRAINING, figures, final_runs
from folders import Place, toml_line, write_whole
from pictures import curves_picture, differences_picture, rows
from plan import PATHS, require
from tables import table

END = "<!-- end -->"
MADE = ("table.md", "curves.svg", "differences.svg")
OF_A_RUN = ("config.toml", "summary.json", "metrics.csv", "diverged.txt")
OF_AN_EVALUATION = ("options.toml", "evaluation.json")
FILE = re.compile(
    rf"{'|'.join(MADE)}|[^/]+/((trial-\d+-)?seed-\d+(\.toml|/({'|'.join(OF_A_RUN)}))"
    rf"|seed-\d+\.evaluation/({'|'.join(OF_AN_EVALUATION)}))"
)


def all_runs(study, out):
    for method in study.methods.values():
        yield from (run for trial in study.trials(method) for run in trial)
        yield from final_runs(study, method, out)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def require_export(folder):
    """That there is nothing, or an earlier export, which another takes the place of."""
    for name in files_in(folder):
        require(FILE.fullmatch(name), f"--export {folder}: holds {name}, which is of no study; name another folder")


def export(study, out, folder):
    """Copies what has ended. Paths of data in configurations are as the study's file has them."""
    require_export(folder)
    if folder.exists():
        shutil.rmtree(folder)
    for run in all_runs(study, out):
        source, target = Place(out, run), Place(folder, run)
        summary, diverged = source.summary(), source.diverged()
        if summary is None and not diverged:
            continue
        target.folder.mkdir(parents=True)
        config = (source.folder / "config.toml").read_text(encoding="utf-8")
        (target.folder / "config.toml").write_text(without_places(config, run.options), encoding="utf-8")
        options = "".join(toml_line(*option) for option in run.options.items())
        options += contents.comments(contents.recorded(source.beside(".toml")))
        target.beside(".toml").write_text(options, encoding="utf-8")
        if summary is None:
            (target.folder / "diverged.txt").write_text(diverged + "\n", encoding="utf-8")
            continue
        shutil.copyfile(source.folder / "summary.json", target.folder / "summary.json")
        if not run.trial:
            shown = shown_metrics(study, rows(source.folder / "metrics.csv"))
            (target.folder / "metrics.csv").write_text(shown, encoding="utf-8")
            export_evaluation(study, source, target)
    for name in MADE:
        shutil.copyfile(out / name, folder / name)


def export_evaluation(study, source, target):
    found = evaluations.evaluation(study, source) if study.evaluate is not None else None
    if found is not None:
        write_whole(evaluations.folder(target) / "evaluation.json", evaluations.small(found))
        shutil.copyfile(evaluations.folder(source) / "options.toml", evaluations.folder(target) / "options.toml")


def shown_metrics(study, epochs):
    """What curves show."""
    names = ["epoch", *(quantity.name for quantity in TRAINING[study.program] + SCORES[study.program])]
    text = io.StringIO()
    lines = csv.DictWriter(text, names, extrasaction="ignore", restval="", lineterminator="\n")
    lines.writeheader()
    lines.writerows(epochs)
    return text.getvalue()


def without_places(config, options):
    given = lambda match: toml_line(match[1], options[match[1]]) if match[1] in options else ""
    return re.sub(rf"^({'|'.join(PATHS)}) = .*\n", given, config, flags=re.MULTILINE)


def check(study, folder, documents):
    """Throws Refused where an exported folder is not whole, or its table, its pictures, or a document's copy of the
    table are not those of its runs."""
    require((folder / "table.md").exists(), folder, ": has no table.md; --export writes one")
    require_whole(study, folder)
    contents.require_same(study, folder, by_what_is_there=False)
    found = figures(study, folder)
    expected = table(study, found)
    made = {"table.md": expected, "curves.svg": curves_picture(study, folder)}
    for name, text in (made | {"differences.svg": differences_picture(study, found)}).items():
        same(text, (folder / name).read_text(encoding="utf-8"), folder / name)
    for document in documents:
        text = document.read_text(encoding="utf-8")
        span = embedded(study, text, document)
        same(expected, text[slice(*span)], document)


def require_whole(study, folder):
    """That there is every run of the study, with all its files, and nothing else."""
    expected = set(MADE)
    for run in all_runs(study, folder):
        place = Place(folder, run)
        ended = place.summary() is not None or place.diverged()
        require(ended, f"{place.folder}: has neither summary.json nor diverged.txt: the study's {run} is missing")
        names = ["config.toml", "diverged.txt" if place.diverged() else "summary.json"]
        names += ["metrics.csv"] if not run.trial and not place.diverged() else []
        if study.evaluate is not None and not run.trial and not place.diverged():
            expected |= {f"{run.method}/{run.name}.evaluation/{name}" for name in OF_AN_EVALUATION}
        expected |= {f"{run.method}/{run.name}/{name}" for name in names} | {f"{run.method}/{run.name}.toml"}
    found = set(files_in(folder))
    for name in sorted(expected - found):
        require(False, f"{folder}: has no {name}; --export writes it")
    for name in sorted(found - expected):
        require(False, f"{folder}: holds {name}, which is not of this study; export it again")


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
    write_whole(document, text[:begin] + "\n" + expected.strip() + "\n" + text[end:])
