"""Usage: study.py CIFAR STUDY_PY
A study of two methods is interrupted and goes on, chooses trials by held-out images, and its table is what its runs
say, with what diverged or is missing; what is no study, or not its own run, is refused. What is published under
docs/results is what its runs say."""

import json
import math
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

from trainer import PROGRAM, check, check_refusal, main, results

SCRIPT = pathlib.Path(sys.argv[2])
ROOT = SCRIPT.parents[2]
sys.path.insert(0, str(SCRIPT.parent))

import contents  # these are of the study
import estimates
import exports
import plan
import tables
from figures import figures
from folders import Place, write_whole
from runs import Workers

QUICK = re.sub(r"\n# [^\n]*\n\[evaluate\].*", "", (SCRIPT.parent / "quick.toml").read_text(), flags=re.DOTALL)
# One of the trials diverges, which is no failure.
TUNED = QUICK[: QUICK.rindex("lr = 0.2")] + "lr = 1e12" + QUICK[QUICK.rindex("lr = 0.2") + len("lr = 0.2") :]
PLAIN = re.sub(r"^trials = .*\n", "", QUICK.replace("[tuning]\nheld-out = 20\nseeds = [101]\n", ""), flags=re.MULTILINE)


def command(folder, *arguments):
    build = folder / "build"
    if not build.exists():
        build.mkdir()
        (build / "examples").symlink_to(pathlib.Path(PROGRAM).parent)
    return [sys.executable, str(SCRIPT), *map(str, arguments), "--build", str(build)]


def study_of(folder, *arguments):
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
    """Stops a study in its first runs: as ^C does, as a terminal that is closed, and as nothing else can."""
    start = command(folder, file, "--out", out, "--jobs", 2)
    for number in (signal.SIGINT, signal.SIGHUP):
        process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True)
        first = process.stderr.readline()
        while not list(out.glob("*/*/checkpoint.lpw")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        said = first + process.communicate()[1]
        check(process.returncode == 130, f"{number!r}: it exits with {process.returncode}: {said}")
        check("go on with: examples/study/study.py" in said.splitlines()[-1], said)
        check(not list(out.glob("*/seed-*")), "seeds are trained before a trial is chosen")
    trainers_end_with_a_study_that_is_killed([*start, "--set", "epochs=1000", "--out", str(folder / "killed")])


def trainers_end_with_a_study_that_is_killed(start):
    process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True)
    process.stderr.readline()
    trainers = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate()
    check(trainers, "no trainer was started")
    end = time.monotonic() + 60
    while working := [pid for pid in trainers if is_at_work(pid)]:
        check(time.monotonic() < end, f"trainers go on: {working}")
        time.sleep(0.005)


def is_at_work(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def goes_on_and_says_what_its_runs_say(folder):
    file, out = write(folder / "quick.toml", TUNED), folder / "out"
    interrupt(folder, file, out)
    exported = folder / "exported"
    done = study_of(folder, file, "--out", out, "--jobs", 2, "--export", exported)
    check(done.returncode == 0, f"exits with {done.returncode}: {done.stderr}")
    check("ETA" in done.stderr and "late-phase, trial 2, seed 101: diverged" in done.stderr, done.stderr)
    check(done.stdout == (out / "table.md").read_text() == (exported / "table.md").read_text(), done.stdout)
    best = check_choice(out)
    check_figures(out, done.stdout)
    again = study_of(folder, file, "--out", out)
    check(again.returncode == 0 and again.stdout == done.stdout, again.stderr)
    check("starts" not in again.stderr and "goes on" not in again.stderr, f"trains again: {again.stderr}")
    changed = study_of(folder, write(folder / "other.toml", TUNED.replace("batch = 10", "batch = 5")), "--out", out)
    check_refusal(changed, "sgd, trial 1, seed 101: ", "batch was 10, now 5")
    one_row_again(folder, file, out, best)
    missing_and_diverged_runs_are_said(folder, file, out)
    a_method_is_compared_with_another(folder, out)
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
    done = study_of(folder, file, "--out", folder / "again", "--only", "sgd", "--seed", 2)
    check(done.returncode == 0, done.stderr)
    check(results(folder / "again/sgd/seed-2") == results(out / "sgd/seed-2"), f"with lr {best} another network")
    check(not (folder / "again/late-phase").exists() and not (folder / "again/sgd/seed-1").exists(), "more was trained")


def missing_and_diverged_runs_are_said(folder, file, out):
    """A method keeps its row whatever became of its runs; differences are over seeds that both have."""
    study, out = plan.load(file), shutil.copytree(out, folder / "less")
    nll = lambda seed: json.loads((out / f"late-phase/seed-{seed}/summary.json").read_text())["test_nll_served"]
    base = json.loads((out / "sgd/seed-2/summary.json").read_text())["test_nll_served"]
    (out / "sgd/seed-1/summary.json").unlink()  # not finished: its log does not say that it diverged
    found = figures(study, out)
    difference = found["methods"]["late-phase"]["differences"]["test_nll"]
    check(difference["values"] == [nll(2) - base], f"{difference}, expected {nll(2)} - {base}")
    text = tables.table(study, found)
    check("\n| SGD | 1 of 2 | " in text and "\n| late-phase batch norm and head | 2 | " in text, text)
    for seed in (1, 2):
        late = out / f"late-phase/seed-{seed}"
        (late / "summary.json").unlink()
        late.with_name(late.name + ".log").write_text("cifar: the loss became nan: training diverged; lower it\n")
        text = tables.table(study, figures(study, out))
        row = f"\n| late-phase batch norm and head | {2 - seed} of 2, {seed} diverged | "
        check(row in text and "of which runs diverged are of the others alone" in text, text)
    done = study_of(folder, file, "--out", out, "--only", "late-phase", "--export", folder / "less-exported")
    check(done.returncode == 0 and "starts" not in done.stderr, f"trains again what diverged: {done.stderr}")
    record = folder / "less-exported/late-phase/seed-2/diverged.txt"
    check("training diverged" in record.read_text(), "no record of what diverged")
    refused(lambda: exports.check(study, folder / "less-exported", []), "sgd, seed 1 is missing")


def a_method_is_compared_with_another(folder, out):
    """Over the seeds that both have, in a table of its own."""
    method = TUNED[TUNED.index("[method.late-phase]") :].replace("late-phase", "other", 1)
    text = f'{TUNED}\n{method}beside = "late-phase"\n'
    study, out = plan.load(write(folder / "beside.toml", text)), shutil.copytree(out, folder / "beside")
    shutil.copytree(out / "late-phase", out / "other")
    for seed, more in ((1, 0.5), (2, 1.0)):
        path = out / f"other/seed-{seed}/summary.json"
        summary = json.loads(path.read_text())
        write(path, json.dumps(summary | {"test_nll_served": summary["test_nll_served"] + more}))
    found = figures(study, out)
    difference = found["methods"]["other"]["beside"]["late-phase"]["test_nll"]
    check(all(abs(a - b) < 1e-12 for a, b in zip(difference["values"], [0.5, 1], strict=True)), difference)
    shown = tables.table(study, found)
    check("\n| late-phase batch norm and head | late-phase batch norm and head | " in shown, shown)
    one = folder / "beside-one.toml"
    write(one, text.replace('beside = "late-phase"', 'beside = ["late-phase"]'))
    check(plan.load(one).methods["other"].beside == ("late-phase",), "a list of one is another thing than the one")
    for beside in ("sgd", "other", "nobody"):  # of the baseline there are differences anyway
        file = write(folder / "beside.toml", text.replace('"late-phase"\n', f'["late-phase", "{beside}"]\n'))
        refused(lambda file=file: plan.load(file), "method other: beside: ", f"found {beside}")


def published_figures_are_checked(folder, file, exported):
    """Of a table, of a document that has it, and of a run."""
    table = (exported / "table.md").read_text()
    document = write(folder / "results.md", "# Results\n<!-- study quick -->\n<!-- end -->\nMore.\n")
    other = write(folder / "other.md", "`<!-- study quick -->` and\n<!-- end -->\n")
    done = study_of(folder, file, "--check", exported, "--document", other)
    check_refusal(done, "other.md: has no place for the table")
    done = study_of(folder, file, "--check", exported, "--document", document)
    check_refusal(done, str(document), "expected '| method | runs |")
    done = study_of(folder, file, "--table", "--out", folder / "out", "--embed", document)
    check(done.returncode == 0 and document.read_text().endswith("\n<!-- end -->\nMore.\n"), done.stderr)
    done = study_of(folder, file, "--check", exported, "--document", document)
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
            study_of(folder, file, "--check", exported, "--document", document), str(path), "is not what the runs say"
        )
        path.write_text(kept)
    an_export_must_be_whole(plan.load(file), exported)
    summary = exported / "late-phase/seed-2/summary.json"
    other = json.loads(summary.read_text())
    summary.write_text(json.dumps(other | {"test_nll_served": other["test_nll_served"] + 0.01}))
    check_refusal(study_of(folder, file, "--check", exported), "table.md", "is not what the runs say")
    config = exported / "late-phase/seed-2/config.toml"
    config.write_text(config.read_text().replace("epochs = 3", "epochs = 4"))
    check_refusal(study_of(folder, file, "--check", exported), "late-phase, seed 2: ", "epochs was 4, now 3")


def an_export_must_be_whole(study, exported):
    run = exported / "sgd/seed-1"
    for path, says in [
        (run / "summary.json", "sgd, seed 1 is missing"),
        (run / "config.toml", "has no sgd/seed-1/config.toml"),
        (run / "metrics.csv", "has no sgd/seed-1/metrics.csv"),
        (exported / "sgd/trial-1-seed-101.toml", "has no sgd/trial-1-seed-101.toml"),
        (exported / "late-phase/trial-2-seed-101/diverged.txt", "late-phase, trial 2, seed 101 is missing"),
        (exported / "curves.svg", "has no curves.svg"),
    ]:
        kept = path.rename(exported.parent / "kept")
        refused(lambda: exports.check(study, exported, []), says)
        kept.rename(path)
    for name, says in [
        ("notes", "holds notes, which is not of this study"),
        ("adam/seed-1.toml", "holds adam/seed-1.toml, which is not of this study"),
    ]:
        write_whole(exported / name, "")
        refused(lambda: exports.check(study, exported, []), says)
    refused(lambda: exports.require_export(exported), "holds notes, which is of no study")
    (exported / "notes").unlink()
    exports.require_export(exported)
    shutil.rmtree(exported / "adam")
    for name in ("curves.svg", "differences.svg"):
        kept = (exported / name).read_text()
        write(exported / name, kept.replace("epoch", "step").replace("better", "worse"))
        refused(lambda: exports.check(study, exported, []), f"{name}: is not what the runs say")
        write(exported / name, kept)
    exports.check(study, exported, [])


def runs_of_other_contents_are_refused(folder):
    """Of data and of networks to start from, wherever they lie."""
    for place, text in [("a", b"one"), ("b", b"two"), ("c", b"one")]:
        (folder / place / "cifar-10-batches-bin").mkdir(parents=True)
        (folder / place / "cifar-10-batches-bin/test_batch.bin").write_bytes(text)
    (folder / "start.safetensors").write_bytes(b"1")
    text = PLAIN.replace('"synthetic"', '"a"').replace("members = 2", 'members = 2\ninit = "i"')
    file = write(folder / "s.toml", text)
    given = lambda place: [("data", str(folder / place)), ("init", str(folder / "start.safetensors"))]
    study, out = plan.load(file, given("a")), folder / "out"
    for method in study.methods.values():
        for run in study.runs(method, None):
            Workers(study, None, out, 1).write_options(Place(out, run).beside(".toml"), run)
    (folder / "a/notes").write_bytes(b"beside the data")
    contents.fingerprint.cache_clear()
    contents.require_same(study, out)
    contents.require_same(plan.load(file, given("c")), out)
    contents.require_same(plan.load(file), out)  # where nothing lies, as a table's reader may be
    other = plan.load(file, given("b"))
    refused(lambda: contents.require_same(other, out), "sgd, seed 1: ", "data held 3 bytes, CRC-32")
    (folder / "start.safetensors").write_bytes(b"2")
    contents.fingerprint.cache_clear()
    refused(lambda: contents.require_same(study, out), "late-phase, seed 1: ", "init held 1 bytes")
    options = out / "sgd/seed-2.toml"
    write(options, options.read_text().replace("CRC-32 ", "CRC-32 0"))
    refused(lambda: contents.require_same(study, out, by_what_is_there=False), "sgd, seed 2: ", "data held 3 bytes")
    write(options, re.sub("^# .*\n", "", options.read_text(), flags=re.MULTILINE))
    refused(lambda: contents.require_same(study, out), "sgd, seed 2: ", "is of the contents of no path, now of data")


def options_of_trials_go_before_common_ones(folder):
    file = write(folder / "s.toml", QUICK.replace("held-out = 20", "held-out = 20\nepochs = 2\nmembers = 7\nlr = 9"))
    study = plan.load(file, [("batch", 5)])
    for name, members in (("sgd", 7), ("late-phase", 2)):  # sgd's own file of options says 1, before all others
        method = study.methods[name]
        [trial], [final] = study.trials(method)[0], study.runs(method, 0)[:1]
        found = [trial.options[option] for option in ("epochs", "held-out", "members", "lr", "batch")]
        check(found == [2, 20, members, 0.05, 5], f"{name}: {trial.options}")
        check(final.options["epochs"] == 3 and "held-out" not in final.options, f"{name}: {final.options}")


def refused(call, *says):
    try:
        call()
    except plan.Refused as error:
        for words in says:
            check(words in str(error) and "\n" not in str(error), f"no {words!r} in {error}")
    else:
        check(False, f"not refused: {says}")


def studies_that_cannot_be_are_refused(folder):
    for old, new, says in [
        ("[common]", "[comon]", "there is no comon in a study"),
        ('program = "cifar"', 'program = "cnn"', "program: expected cifar or enwik8, found cnn"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "seeds: expected a list of different whole numbers, found [1, 1]"),
        ('baseline = "sgd"', 'baseline = "adam"', "baseline: expected one of the methods late-phase, sgd, found adam"),
        ('baseline = "sgd"', 'baseline = ["sgd"]', "baseline: expected one of the methods late-phase, sgd, found ["),
        ("[{ lr = 0.05 }, { lr = 0.2 }]\n\n", "[{ lr = 0.05 }]\n\n", "method sgd has 1 trials and late-phase has 2"),
        ("held-out = 20", "", "tuning: held-out: expected the number of training images"),
        ("held-out = 20", 'held-out = "20"', "tuning: held-out: expected the number of training images by which"),
        ("epochs = 3", "epochs = 3\nheld-out = 5", "method sgd: held-out: stands in [tuning] alone"),
        ("{ lr = 0.2 }", "{ held-out = 5 }", "method sgd: held-out: stands in [tuning] alone"),
        ("methods/sgd.toml", "methods/none.toml", "methods/none.toml: No such file or directory"),
        ("members = 2", "members = 2\nseed = 3", "method late-phase: seed = 3: expected an option of the trainer"),
        ("members = 2", "members = [{}]", "method late-phase: members = [{}]: expected an option of the trainer"),
        ("members = 2", "members = ", "is not TOML"),
        ("members = 2", "config = 3", "method late-phase: config: expected a file, found 3"),
        ('title = "SGD"', "title = 3", "method sgd: title: expected a line of text, found 3"),
        ('title = "SGD"', 'title = "S\\nGD"', "method sgd: title: expected a line of text, found 'S\\nGD'"),
        ('data = "synthetic"', "data = 3", "method sgd: data: expected a path, found 3"),
        ("[method.sgd]", '[method."table.md"]', "method 'table.md': is no name for a folder"),
    ]:
        check(old in QUICK, f"nothing to replace: {old}")
        refused(lambda: plan.load(write(folder / "quick.toml", QUICK.replace(old, new, 1))), says)
    file = write(folder / "quick.toml", QUICK)
    refused(lambda: plan.load(file, [("init", "x")]), "--set init=x: the study has no init")
    for old, new, says in [
        ("members = 2", "memberz = 2", "late-phase, trial 2, seed 101: cifar: line "),
        ("epochs = 3", "epochs = -3", "epochs"),
    ]:
        done = study_of(folder, write(folder / "quick.toml", QUICK.replace(old, new, 1)), "--out", folder / "out")
        check_refusal(done, says)
        check(not (folder / "out").exists(), f"{new}: leaves a folder")
    file = write(folder / "quick.toml", QUICK)
    for arguments, says in [
        (["--only", "adam"], "--only adam: expected one of sgd, late-phase"),
        (["--seed", 7], "--seed 7: expected one of the study's, [1, 2]"),
        (["--jobs", 0], "--jobs 0: expected a number of at least 1"),
        (["--set", "lr"], "--set lr: expected NAME=VALUE"),
        (["--check", folder], "has no table.md"),
        (["--out", file], f"study.py: {file}"),
        (["--embed", folder / "none.md"], f"{folder}/none.md: No such file or directory"),
    ]:
        check_refusal(study_of(folder, file, "--out", folder / "out", *arguments), says)


def the_command_of_a_row_is_that_of_its_study(folder):
    found = lambda *settings: tables._again(plan.load(write(folder / "s.toml", PLAIN), settings))
    check("\nexamples/study/study.py s.toml --only METHOD --seed N\n" in found(), found())
    check("METHOD is `sgd` (SGD), `late-phase` (late-phase batch norm and head)." in found(), found())
    given = found(("epochs", 5), ("average", "swa"), ("data", "/elsewhere"))
    check("""s.toml --set epochs=5 --set 'average="swa"' --only""" in given, given)
    check(" examples/study/quick.toml " in tables._again(plan.load(SCRIPT.parent / "quick.toml")), "in the project")
    check("| a \\| b |" in tables._markdown(["method"], [["a | b"]]), "a title ends its cell")


def a_run_that_fails_is_reported_and_others_go_on(folder):
    """One that cannot write; one that diverges has a result, which is its row in the table."""
    file = write(folder / "plain.toml", PLAIN.replace("[method.late-phase]", "[method.late-phase]\nlr = 1e12"))
    write_whole(folder / "out/sgd/seed-2", "no folder")
    arguments = [folder, file, "--out", folder / "out", "--jobs", 1, "--set", "epochs=1"]
    done = study_of(*arguments, "--seed", 2)
    check(done.returncode == 1, f"exits with {done.returncode}: {done.stderr}")
    check("sgd, seed 2: FAILED: cifar: " in done.stderr and "late-phase, seed 2: diverged" in done.stderr, done.stderr)
    check(done.stderr.splitlines()[-1] == "1 of the runs failed: sgd, seed 2", done.stderr)
    row = "\n| late-phase batch norm and head | 0 of 2, 1 diverged | "
    check(row in done.stdout and "\n| SGD" not in done.stdout, done.stdout)
    done = study_of(*arguments, "--seed", 1, "--only", "sgd")
    check(done.returncode == 0 and row in done.stdout and "\n| SGD | 1 of 2 | " in done.stdout, done.stderr)


def studies_of_the_project_can_be_planned(folder):
    """Their files are whole, and what they would train is listed with its commands."""
    (folder / "build/examples").mkdir(parents=True)
    for program in ("cifar", "enwik8", "evaluate"):
        shutil.copy("/bin/true", folder / "build/examples" / program)
    for file in sorted(SCRIPT.parent.glob("*.toml")):
        done = study_of(folder, file, "--dry-run", "--out", folder / "out")
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
        done = study_of(folder, SCRIPT.parent / f"{name}.toml", "--check", exported, *copies)
        check(done.returncode == 0, done.stderr)


def files_are_rewritten_as_they_are(folder):
    """With their modes; what is at the temporary's name, a pipe or another file's second name, is not written to."""
    file, unfinished, other = folder / "table.md", folder / "table.md.new", folder / "other"
    file.write_text("old")
    file.chmod(0o600)
    other.write_text("another's")
    os.link(other, unfinished)
    write_whole(file, "new")
    check(file.read_text() == "new" and file.stat().st_mode & 0o777 == 0o600, oct(file.stat().st_mode))
    check(other.read_text() == "another's", "another's file was written to")
    os.mkfifo(unfinished)
    write_whole(file, "newer")
    check(file.read_text() == "newer" and not unfinished.exists(), "a pipe stays")


main(
    quantiles_are_those_of_published_tables,
    goes_on_and_says_what_its_runs_say,
    runs_of_other_contents_are_refused,
    options_of_trials_go_before_common_ones,
    studies_that_cannot_be_are_refused,
    the_command_of_a_row_is_that_of_its_study,
    a_run_that_fails_is_reported_and_others_go_on,
    studies_of_the_project_can_be_planned,
    published_tables_are_what_their_runs_say,
    files_are_rewritten_as_they_are,
)
