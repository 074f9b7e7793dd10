"""Usage: study.py CIFAR STUDY_PY
A study of two methods is interrupted and goes on, chooses trials by held-out images, and its table is what its runs
say; what is no study, or not its own run, is refused. What is published under docs/results is what its runs say."""

import json
import math
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

from trainer import PROGRAM, check, main, results

SCRIPT = pathlib.Path(sys.argv[2])
ROOT = SCRIPT.parents[2]
sys.path.insert(0, str(SCRIPT.parent))

import estimates  # of the study

QUICK = (SCRIPT.parent / "quick.toml").read_text()
# One of the trials diverges, which is no failure.
TUNED = QUICK[: QUICK.rindex("lr = 0.2")] + "lr = 1e12" + QUICK[QUICK.rindex("lr = 0.2") + len("lr = 0.2") :]
PLAIN = re.sub(r"^trials = .*\n", "", QUICK.replace("[tuning]\nheld-out = 20\nseeds = [101]\n", ""), flags=re.MULTILINE)


def command(folder, *arguments):
    build = folder / "build"
    if not build.exists():
        build.mkdir()
        (build / "examples").symlink_to(pathlib.Path(PROGRAM).parent)
    return [sys.executable, str(SCRIPT), *map(str, arguments), "--build", str(build)]


def study(folder, *arguments):
    return subprocess.run(command(folder, *arguments), capture_output=True, text=True, timeout=600)


def write(path, text):
    path.write_text(text)
    return path


def quantiles_are_those_of_published_tables(_):
    for confidence, freedom, expected in [
        (0.95, 1, 12.7062047362),
        (0.95, 2, 4.30265272975),
        (0.95, 4, 2.77644510520),
        (0.95, 9, 2.26215716280),
        (0.95, 30, 2.04227245630),
        (0.95, 1000, 1.96233908083),
        (0.99, 3, 5.84090930973),
        (0.90, 5, 2.01504837333),
    ]:
        found = estimates.student_quantile(confidence, freedom)
        check(abs(found - expected) <= 1e-10 * expected * 5, f"t of {confidence}, {freedom}: {found}")
    found = estimates.estimate([1.0, 2.0, 4.0])
    check(found.mean == 7 / 3, found)
    expected = 4.30265272975 * math.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2 / 3)
    check(abs(found.half_width - expected) <= 1e-9, found)
    check(estimates.estimate([3.0]).half_width is None, "an interval of one value")
    paired = estimates.paired_difference({1: 1.0, 2: 5.0, 3: 9.0}, {2: 4.0, 3: 7.0, 4: 0.0})
    check(paired.values == (1.0, 2.0), paired)


def interrupt(folder, file, out):
    """Stops a study in its first runs."""
    process = subprocess.Popen(command(folder, file, "--out", out, "--jobs", 2), stderr=subprocess.PIPE, text=True)
    while not list(out.glob("*/*/checkpoint.lpw")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    check(process.returncode == 130, f"interrupted, it exits with {process.returncode}: {said}")
    check("go on with: examples/study/study.py" in said.splitlines()[-1], said)
    check(not list(out.glob("*/seed-*")), "seeds are trained before a trial is chosen")


def goes_on_and_says_what_its_runs_say(folder):
    file, out = write(folder / "quick.toml", TUNED), folder / "out"
    interrupt(folder, file, out)
    exported = folder / "exported"
    done = study(folder, file, "--out", out, "--jobs", 2, "--export", exported)
    check(done.returncode == 0, f"exits with {done.returncode}: {done.stderr}")
    check("ETA" in done.stderr and "late-phase, trial 2, seed 101: diverged" in done.stderr, done.stderr)
    check(done.stdout == (out / "table.md").read_text() == (exported / "table.md").read_text(), done.stdout)
    best = check_choice(out)
    check_figures(out, done.stdout)
    again = study(folder, file, "--out", out)
    check(again.returncode == 0 and again.stdout == done.stdout, again.stderr)
    check("starts" not in again.stderr and "goes on" not in again.stderr, f"trains again: {again.stderr}")
    changed = study(folder, write(folder / "other.toml", TUNED.replace("batch = 10", "batch = 5")), "--out", out)
    check_refusal(changed, "sgd, trial 1, seed 101: ", "batch was 10, now 5")
    one_row_again(folder, file, out, best)
    published_figures_are_checked(folder, file, exported)


def check_choice(out):
    """The better of SGD's trials is what its seeds are trained with, on all images."""
    scores = [json.loads((out / f"sgd/trial-{i}-seed-101/summary.json").read_text()) for i in (1, 2)]
    accuracies = [summary["valid_accuracy_served"] for summary in scores]
    best = [0.05, 0.2][accuracies.index(max(accuracies))]
    for seed in (1, 2):
        config = (out / f"sgd/seed-{seed}/config.toml").read_text()
        check(f"\nlr = {best}\n" in config and "\nheld-out = 0\n" in config, f"seed {seed}: {accuracies}, {config}")
    check("\nlr = 0.05\n" in (out / "late-phase/seed-1/config.toml").read_text(), "a trial that diverged is chosen")
    check("\ntest-subset = 10\n" in (out / "sgd/trial-1-seed-101/config.toml").read_text(), "a trial's test set")
    return best


def check_figures(out, table):
    """Against the summaries, for two seeds: t of one degree of freedom, and the deviation is |a - b| / sqrt(2)."""
    summaries = {
        method: [json.loads((out / method / f"seed-{seed}" / "summary.json").read_text()) for seed in (1, 2)]
        for method in ("sgd", "late-phase")
    }
    found = json.loads((out / "results.json").read_text())["methods"]
    for score in ("test_accuracy", "test_nll", "test_ece"):
        values = {method: [s[f"{score}_served"] for s in both] for method, both in summaries.items()}
        differences = [late - base for late, base in zip(values["late-phase"], values["sgd"], strict=True)]
        for name, numbers, estimate in [
            ("sgd", values["sgd"], found["sgd"]["scores"][score]["served"]),
            ("late-phase", values["late-phase"], found["late-phase"]["scores"][score]["served"]),
            ("difference", differences, found["late-phase"]["differences"][score]),
        ]:
            width = 12.7062047362 * abs(numbers[0] - numbers[1]) / 2
            same = abs(estimate["mean"] - statistics.fmean(numbers)) <= 1e-12
            check(same and abs(estimate["half_width"] - width) <= 1e-9 * (1 + width), f"{name}, {score}: {estimate}")
    nll = statistics.fmean(s["test_nll_served"] for s in summaries["late-phase"])
    check(f" {nll:.4f} ± " in table, f"no {nll:.4f} in {table}")
    ensemble = statistics.fmean(s["test_nll_ensemble"] for s in summaries["late-phase"])
    check(f" {ensemble:.4f} ± " in table, f"no {ensemble:.4f} in {table}")
    loss = statistics.fmean(s["train_loss"] for s in summaries["sgd"])
    check(f" {loss:.4f} ± " in table, f"no {loss:.4f} in {table}")
    for name in ("curves.svg", "differences.svg"):
        check((out / name).read_text().startswith("<svg "), f"{name} is no picture")


def one_row_again(folder, file, out, best):
    """The command under the table trains the same network again, bit for bit."""
    done = study(folder, file, "--out", folder / "again", "--only", "sgd", "--seed", 2)
    check(done.returncode == 0, done.stderr)
    check(results(folder / "again/sgd/seed-2") == results(out / "sgd/seed-2"), f"with lr {best} another network")
    check(not (folder / "again/late-phase").exists() and not (folder / "again/sgd/seed-1").exists(), "more was trained")


def published_figures_are_checked(folder, file, exported):
    """Of a table, of a document that has it, and of a run."""
    table = (exported / "table.md").read_text()
    document = write(folder / "results.md", "# Results\n<!-- study quick -->\n<!-- end -->\nMore.\n")
    other = write(folder / "other.md", "`<!-- study quick -->` and\n<!-- end -->\n")
    check_refusal(study(folder, file, "--check", exported, "--document", other), "other.md: has no place for the table")
    refused = study(folder, file, "--check", exported, "--document", document)
    check_refusal(refused, str(document), "expected '| method | runs |")
    done = study(folder, file, "--table", "--out", folder / "out", "--embed", document)
    check(done.returncode == 0 and document.read_text().endswith("\n<!-- end -->\nMore.\n"), done.stderr)
    done = study(folder, file, "--check", exported, "--document", document)
    check(done.returncode == 0 and done.stderr == "", f"a table that is right: {done.stderr}")
    check(
        "/" not in re.sub(r"data\b.*", "", (exported / "sgd/seed-1/config.toml").read_text()), "a path of this machine"
    )
    digit = re.search(r"\d\.\d+ ±", table).start()
    wrong = table[:digit] + str((int(table[digit]) + 1) % 10) + table[digit + 1 :]
    for path, text in [(exported / "table.md", wrong), (document, document.read_text().replace(table, wrong))]:
        kept = path.read_text()
        check(text != kept, f"{path}: nothing is planted")
        path.write_text(text)
        check_refusal(
            study(folder, file, "--check", exported, "--document", document), str(path), "is not what the runs say"
        )
        path.write_text(kept)
    summary = exported / "late-phase/seed-2/summary.json"
    other = json.loads(summary.read_text())
    summary.write_text(json.dumps(other | {"test_nll_served": other["test_nll_served"] + 0.01}))
    check_refusal(study(folder, file, "--check", exported), "table.md", "is not what the runs say")
    config = exported / "late-phase/seed-2/config.toml"
    config.write_text(config.read_text().replace("epochs = 3", "epochs = 4"))
    check_refusal(study(folder, file, "--check", exported), "late-phase, seed 2: ", "epochs was 4, now 3")


def check_refusal(done, *says):
    check(done.returncode == 1, f"exits with {done.returncode}: {done.stderr}")
    check(done.stderr.startswith("study.py: ") and done.stderr.count("\n") == 1, f"not one line: {done.stderr}")
    for words in says:
        check(words in done.stderr, f"no {words!r} in {done.stderr!r}")


def studies_that_cannot_be_are_refused(folder):
    for old, new, says in [
        ("[common]", "[comon]", "there is no comon in a study"),
        ('program = "cifar"', 'program = "cnn"', "program: expected cifar or enwik8, found cnn"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "seeds: expected a list of different whole numbers, found [1, 1]"),
        ('baseline = "sgd"', 'baseline = "adam"', "baseline: expected one of the methods late-phase, sgd, found adam"),
        ("[{ lr = 0.05 }, { lr = 0.2 }]\n\n", "[{ lr = 0.05 }]\n\n", "method sgd has 1 trials and late-phase has 2"),
        ("held-out = 20", "", "tuning: held-out: expected the number of training images"),
        ("methods/sgd.toml", "methods/none.toml", "methods/none.toml: No such file or directory"),
        ("members = 2", "members = 2\nseed = 3", "method late-phase: seed = 3: expected an option of the trainer"),
        ("members = 2", "members = ", "is not TOML"),
        ("members = 2", "memberz = 2", "late-phase, trial 2, seed 101: cifar: line "),
        ("epochs = 3", "epochs = -3", "epochs"),
    ]:
        check(old in QUICK, f"nothing to replace: {old}")
        file = write(folder / "quick.toml", QUICK.replace(old, new, 1))
        done = study(folder, file, "--out", folder / "out")
        check_refusal(done, says)
        check(not (folder / "out").exists(), f"{new}: leaves a folder")
    file = write(folder / "quick.toml", QUICK)
    for arguments, says in [
        (["--only", "adam"], "--only adam: expected one of sgd, late-phase"),
        (["--seed", 7], "--seed 7: expected one of the study's, [1, 2]"),
        (["--jobs", 0], "--jobs 0: expected a number of at least 1"),
        (["--set", "lr"], "--set lr: expected NAME=VALUE"),
        (["--check", folder], "has no table.md"),
    ]:
        check_refusal(study(folder, file, "--out", folder / "out", *arguments), says)


def a_run_that_fails_is_reported_and_others_go_on(folder):
    file = write(folder / "plain.toml", PLAIN.replace("[method.late-phase]", "[method.late-phase]\nlr = 1e12"))
    done = study(folder, file, "--out", folder / "out", "--seed", 2, "--jobs", 1, "--set", "epochs=1")
    check(done.returncode == 1, f"exits with {done.returncode}: {done.stderr}")
    check("late-phase, seed 2: FAILED: cifar: " in done.stderr and "training diverged" in done.stderr, done.stderr)
    check(done.stderr.splitlines()[-1] == "1 of the runs failed: late-phase, seed 2", done.stderr)
    check("\n| SGD | 1 | " in done.stdout and "\n| late-phase" not in done.stdout, done.stdout)


def studies_of_the_project_can_be_planned(folder):
    """Their files are whole, and what they would train is listed with its commands."""
    (folder / "build/examples").mkdir(parents=True)
    for program in ("cifar", "enwik8"):
        shutil.copy("/bin/true", folder / "build/examples" / program)
    for file in sorted(SCRIPT.parent.glob("*.toml")):
        done = study(folder, file, "--dry-run", "--out", folder / "out")
        check(done.returncode == 0 and ": to do: " in done.stdout, f"{file.name}: {done.stderr}")
        check(f"\n#   examples/study/study.py examples/study/{file.name}" in file.read_text(), f"{file}: no command")
    check(not (folder / "out").exists(), "a dry run leaves a folder")


def published_tables_are_what_their_runs_say(folder):
    """Each folder of docs/results with a table, and each place in a document for a study's table."""
    published = {path.parent.name: path.parent for path in (ROOT / "docs/results").glob("*/table.md")}
    documents = {
        path: re.findall(r"^<!-- study (\S+) -->$", path.read_text(), re.MULTILINE)
        for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    }
    for document, names in documents.items():
        for name in set(names) - published.keys():
            check(False, f"{document}: has a table of the study {name}, and there is no docs/results/{name}")
    for name, exported in published.items():
        copies = [word for path, names in documents.items() if name in names for word in ("--document", path)]
        done = study(folder, SCRIPT.parent / f"{name}.toml", "--check", exported, *copies)
        check(done.returncode == 0, done.stderr)


main(
    quantiles_are_those_of_published_tables,
    goes_on_and_says_what_its_runs_say,
    studies_that_cannot_be_are_refused,
    a_run_that_fails_is_reported_and_others_go_on,
    studies_of_the_project_can_be_planned,
    published_tables_are_what_their_runs_say,
)
