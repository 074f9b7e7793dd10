"""Usage: noisy_quadratic.py PROGRAM PLOT_SH
The noisy quadratic problem as a program: its table and files on a small problem, the picture of them, and what it
refuses."""

import csv
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import time

sys.argv, PLOT = sys.argv[:2], pathlib.Path(sys.argv[2]).resolve()

from trainer import check, main, refused, run  # noqa: E402

SMALL = (
    "--dimensions 50 --samples 120 --release 60 --average-start 80 --members 3 --repeats 40 --records 5 "
    "--threads 1"
).split()
STEADY = "--steady-members 1,3,30 --steady-iterations 10".split()


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def small(folder):
    done = run(*SMALL, *STEADY, "--out", folder)
    check(done.returncode == 0 and done.stderr == "", done.stderr)
    return done.stdout


def losses_are_within_three_standard_errors(folder):
    printed = small(folder)
    losses, steady = rows(folder / "loss.csv"), rows(folder / "steady.csv")
    check("K = 30: no steady state; late-phase sum: the members' mean has the rate alpha = 3.1" in printed, printed)
    check({row["members"] for row in steady if row["training"] == "late-phase sum"} == {"1", "3"}, steady)
    for training in ["sgd", "large batch", "late-phase sum", "late-phase mean"]:
        for name in [training, training + " decaying"]:
            last = [row for row in losses if row["training"] == name][-1]
            check(last["minibatches"] == "120", last)
            found = {row["readout"] for row in losses if row["training"] == name}
            members = {"collapsed", "member", "mean of members"} if "late" in name else {"last"}
            check(found == members | {"swa", "ema"}, f"{name}: {found}")
    for row in losses + steady:
        check(abs(float(row["off"])) <= 3, row)  # false for NaN
        error = (float(row["simulated"]) - float(row["expected"])) / float(row["standard_error"])
        check(math.isclose(error, float(row["off"]), rel_tol=1e-3, abs_tol=1e-9), row)
    check(f"{len(losses)} losses are compared" in printed and " and 0 are larger than three" in printed, printed)


def minibatches_that_fill_no_iteration_are_left(folder):
    """The last losses are those after the last iteration, also where the members' first would be too long."""
    done = run(*SMALL, "--samples", 62, "--average-start", -1, "--steady-iterations", 0, "--out", folder)
    check(done.returncode == 0 and not (folder / "steady.csv").exists(), done.stderr)
    ends = {row["training"]: row["minibatches"] for row in rows(folder / "loss.csv")}
    check(ends["sgd"] == "62" and ends["large batch"] == ends["late-phase sum"] == "60", ends)


def results_do_not_depend_on_threads(folder):
    small(folder / "one")
    run(*SMALL, *STEADY, "--threads", 2, "--out", folder / "two")
    for name in ["loss.csv", "steady.csv"]:
        check((folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes(), f"{name} differs")


def a_picture_is_drawn(folder):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no picture")
        return
    plot = lambda *arguments: subprocess.run(
        ["bash", PLOT, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    out = folder / "it's a=b"
    small(out)
    done = plot(out)
    check(done.returncode == 0 and done.stderr == "" and done.stdout == f"{out}/curves.png\n", done.stderr)
    content = (out / "curves.png").read_bytes()
    check(content[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", content[16:24]) == (1100, 1500), "no picture")
    (out / "steady.csv").unlink()
    done = plot("--out", folder / "two.png", "--", out)
    check(done.returncode == 0 and (folder / "two.png").read_bytes() != content, done.stderr)
    (out / "loss.csv").write_text((out / "loss.csv").read_text() + "sgd,last,1,1,x,1,1,1,1,1\n")
    for arguments, says in [
        ([out], "of loss.csv is damaged"),
        ([folder], "loss.csv: no such file"),
        (["--bogus"], "unknown option --bogus"),
        ([out, out], "one folder at a time"),
    ]:
        done = plot(*arguments)
        check(done.returncode == 1 and says in done.stderr, f"{arguments}: {done.returncode} {done.stderr!r}")


def bad_options_are_refused(folder):
    refused(*SMALL, "--lr", 2, "--out", folder, says=["sgd: SGD has the rate alpha = 2", "overshoot", "lower --lr"])
    refused(*SMALL, "--lr", 0.6, "--late-lr", 0.3, says=["late-phase sum", "alpha h = 2.1", "--late-lr"])
    refused(*SMALL, "--schedule", "steps:50:30", "--out", folder, says=["sgd decaying", "alpha h = 3"])
    refused(*SMALL, "--schedule", "nonsense", says='schedule "nonsense": there is no curve "nonsense"; expected')
    refused(*SMALL, "--samples", 2, says="large batch: --samples 2 are fewer minibatches than one iteration takes")
    refused(*SMALL, "--average-start", 10, says=["--average-start 10 is before --release 60"])
    refused(*SMALL, "--steady-members", "1,x", says="--steady-members 1,x: expected whole numbers")
    refused(*SMALL, "--noise", 0, says="--noise: expected a number above 0")
    refused(*SMALL, "--repeats", 1, says="--repeats: expected a whole number from 2")
    refused(*SMALL, "--steady-members", "1,3,1", says="--steady-members 1,3,1: names 1 twice")
    for arguments in [
        ["--average-start", -1, "--ema-decay", 0.5],
        ["--average-start", -1, "--average-every", 2],
        ["--steady-iterations", 0, "--steady-members", 2],
    ]:
        refused(*SMALL, *arguments, "--out", folder, says=f"{arguments[2]} does nothing here: ")
    refused("--bogus", says="--bogus")
    check(list(folder.iterdir()) == [], "files were written all the same")


def results_have_a_place_before_they_are_computed(folder):
    """The defaults take minutes, of which nothing is lost."""
    (folder / "file").touch()
    (folder / "loss" / "loss.csv").mkdir(parents=True)
    begin = time.monotonic()
    refused("--out", folder / "file" / "below", says=[str(folder / "file" / "below"), "choose another --out"])
    refused("--out", folder / "file", says=["choose another --out"])
    refused("--out", folder / "loss", says=["loss.csv: is a folder", "choose another --out"])
    check(time.monotonic() - begin < 20, "something was computed first")


main(
    losses_are_within_three_standard_errors,
    minibatches_that_fill_no_iteration_are_left,
    results_do_not_depend_on_threads,
    a_picture_is_drawn,
    bad_options_are_refused,
    results_have_a_place_before_they_are_computed,
)
