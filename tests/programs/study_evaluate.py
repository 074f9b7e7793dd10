"""Usage: study_evaluate.py CIFAR STUDY_PY EVALUATE
A study scores what it has trained by the program evaluate: what each method serves, once, with the options of
[evaluate]; its table is what the evaluations say, and an export has them."""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

from trainer import PROGRAM, check, check_refusal, main, summary

SCRIPT, EVALUATE = pathlib.Path(sys.argv[2]), os.path.abspath(sys.argv[3])
sys.path.insert(0, str(SCRIPT.parent))

import exports  # these are of the study
import plan
import tables
from figures import figures

QUICK = (SCRIPT.parent / "quick.toml").read_text()
TEXT = re.sub(r"^trials = .*\n", "", QUICK.replace("[tuning]\nheld-out = 20\nseeds = [101]\n", ""), flags=re.MULTILINE)
TEXT = TEXT.replace("members = 2", 'members = 2\nserve = "ensemble"')
RUNS = [(method, seed) for method in ("sgd", "late-phase") for seed in (1, 2)]


def study_of(folder, text, *arguments):
    build = folder / "build/examples"
    if not build.exists():
        build.mkdir(parents=True)
        (build / "cifar").symlink_to(PROGRAM)
        (build / "evaluate").symlink_to(EVALUATE)
    (folder / "s.toml").write_text(text)
    places = ("--build", folder / "build", "--out", folder / "out")
    command = [str(word) for word in (sys.executable, SCRIPT, folder / "s.toml", *places, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def what_is_served_is_scored_once(folder):
    out, exported = folder / "out", folder / "exported"
    done = study_of(folder, TEXT, "--jobs", 2, "--export", exported)
    check(done.returncode == 0, f"exits with {done.returncode}: {done.stderr}")
    found = {run: json.loads((out / f"{run[0]}/seed-{run[1]}.evaluation/evaluation.json").read_text()) for run in RUNS}
    for (method, seed), content in found.items():
        served = summary(out / f"{method}/seed-{seed}")
        for name in ("accuracy", "nll"):
            scored = content["test"]["ensemble"][name]
            check(scored == served[f"test_{name}_served"], f"{method}, seed {seed}: {name} {scored} is not served")
        check(content["members"] == (2 if method == "late-phase" else 1), f"{method}: {content['networks']}")
        check(content["temperature"]["held_out_was_trained_on"] is False, content["temperature"])
    check_table(done.stdout, found)
    again = study_of(folder, TEXT)
    check(again.returncode == 0 and again.stdout == done.stdout, again.stderr)
    check("starts" not in again.stderr and "is scored" not in again.stderr, f"once more: {again.stderr}")
    one_is_scored_again(folder, out / "sgd/seed-2.evaluation/evaluation.json", done.stdout)
    check_refusal(study_of(folder, TEXT.replace("unseen = 40", "unseen = 30"), "--evaluate"), "unseen was 40, now 30")
    published_scores_are_checked(folder, exported)
    other_runs_are_refused(folder, out / "late-phase/seed-1/summary.json")


def check_table(text, found):
    values = {method: [found[method, seed] for seed in (1, 2)] for method in ("sgd", "late-phase")}
    mean = lambda method, value: statistics.fmean(map(value, values[method]))
    difference = lambda value: mean("late-phase", value) - mean("sgd", value)
    brier = lambda content: content["test"]["ensemble"]["brier"]
    after = lambda content: content["temperature"]["test_after"]["nll"]
    robust = lambda content: 100 - 100 * content["corruptions"]["mean_error"]
    for method, title in (("sgd", "SGD"), ("late-phase", "late-phase batch norm and head")):
        row = re.search(rf"^\| {title} \| 2 \| {mean(method, brier):.4f} ± .*", text, re.MULTILINE)
        check(row, f"{title}: no row with {mean(method, brier):.4f} in {text}")
        for expected in (f"{mean(method, after):.4f} ± ", f"{mean(method, robust):.2f} ± "):
            check(expected in row[0], f"{title}: no {expected} in {row[0]}")
    beside = re.search(rf"^\| late-phase [^|]*\| SGD \| \**\{difference(brier):+.4f} ± .*", text, re.MULTILINE)
    check(beside and f"{difference(after):+.4f} ± " in beside[0], f"no {difference(brier):+.4f} in {text}")
    check("`evaluate --corruptions own --test-subset 20 --unseen 40`" in text.replace("\n", " "), text)


def one_is_scored_again(folder, file, printed):
    file.unlink()
    study = plan.load(folder / "s.toml")
    shown = tables.table(study, figures(study, folder / "out"))
    check("\n| SGD | 1 of 2 | " in shown, shown)
    listed = study_of(folder, TEXT, "--dry-run").stdout
    check(listed.count(": scored: ") == 3 and "\nsgd, seed 2: to be scored: " in listed, listed)
    done = study_of(folder, TEXT, "--evaluate")
    check(done.returncode == 0 and done.stdout == printed, done.stderr)
    check(done.stderr.count("is scored") == 1 and "sgd, seed 2: is scored" in done.stderr, done.stderr)


def published_scores_are_checked(folder, exported):
    (folder / "s.toml").write_text(TEXT)
    study = plan.load(folder / "s.toml")
    exports.check(study, exported, [])
    exports.require_export(exported)
    scored = exported / "sgd/seed-1.evaluation"
    content = (scored / "evaluation.json").read_text()
    check(str(folder) not in content and "curve" not in content and len(content) < 9000, f"not small: {content}")
    for name in ("evaluation.json", "options.toml"):
        kept = (scored / name).rename(folder / name)
        refused(lambda: exports.check(study, exported, []), f"has no sgd/seed-1.evaluation/{name}")
        kept.rename(scored / name)
    brier = json.loads(content)["test"]["ensemble"]["brier"]
    (scored / "evaluation.json").write_text(content.replace(str(brier), str(brier + 0.1), 1))
    refused(lambda: exports.check(study, exported, []), "table.md: is not what the runs say")
    (scored / "evaluation.json").write_text(content.replace(str(brier), '"a"', 1))
    refused(lambda: exports.check(study, exported, []), "evaluation.json: is not the evaluation of a run")


def other_runs_are_refused(folder, file):
    text = file.read_text()
    file.write_text(text.replace('"seconds": ', '"seconds": 1'))
    check_refusal(study_of(folder, TEXT, "--table"), "late-phase, seed 1: ", "of another training than summary.json")
    file.write_text(text)


def refused(call, says):
    try:
        call()
    except plan.Refused as error:
        check(says in str(error) and "\n" not in str(error), f"no {says!r} in {error}")
    else:
        check(False, f"not refused: {says}")


def data_that_others_hold_are_told_apart(folder):
    """Those of [evaluate], by their contents; what cannot be scored is reported, and the table is of the rest."""
    text = TEXT.replace("unseen = 40", 'ood = ["x=x.npy", "y=synthetic"]').replace("seeds = [1, 2]", "seeds = [1]")
    done = study_of(folder, text, "--set", "epochs=1", "--set", "release-epoch=0", "--only", "sgd")
    check(done.returncode == 1 and "sgd, seed 1: NOT SCORED: evaluate: " in done.stderr, done.stderr)
    check(done.stderr.splitlines()[-1] == "1 of the runs failed: sgd, seed 1", done.stderr)
    check("\n| SGD | 1 | " in done.stdout and "AUROC" not in done.stdout, done.stdout)
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (40, 32, 32, 3), }\n"
    images = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(range(256)) * 480
    (folder / "x.npy").write_bytes(images)
    arguments = ("--set", "epochs=1", "--set", "release-epoch=0", "--only", "sgd", "--evaluate")
    done = study_of(folder, text, *arguments)
    check(done.returncode == 0 and "| AUROC, x, % | AUROC, y, % |" in done.stdout, done.stderr)
    (folder / "x.npy").write_bytes(images[:-1] + b"0")
    check_refusal(study_of(folder, text, *arguments), "sgd, seed 1: ", "ood x x.npy held ", "remove it to score again")


def what_evaluate_cannot_be_asked_is_refused(folder):
    for old, new, says in [
        ("unseen = 40", 'network = "a"', "evaluate: network = a: expected an option for all runs"),
        ("unseen = 40", "unseen = [{}]", "evaluate: unseen = [{}]: expected an option for all runs"),
        ("[evaluate]", "[evaluate.x]", "evaluate: x = {"),
        ('serve = "ensemble"', 'serve = "dropout:8"', "does not score what method late-phase serves, dropout:8"),
        ('program = "cifar"', 'program = "enwik8"', "evaluate: scores images, and the program is enwik8"),
        ("unseen = 40", "unsen = 40", "evaluate: unsen: is no option of "),
    ]:
        check(old in TEXT, f"nothing to replace: {old}")
        check_refusal(study_of(folder, TEXT.replace(old, new)), says)
    check_refusal(study_of(folder, TEXT[: TEXT.index("[evaluate]")], "--evaluate"), "the study has no [evaluate]")
    check_refusal(study_of(folder, TEXT, "--evaluate", "--table"), "--evaluate: leave out --dry-run and --table")
    check(not (folder / "out").exists(), "a refusal leaves a folder")


main(what_is_served_is_scored_once, data_that_others_hold_are_told_apart, what_evaluate_cannot_be_asked_is_refused)
