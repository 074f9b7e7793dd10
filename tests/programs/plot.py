"""Usage: plot.py PLOT_SH
scripts/plot.sh draws one run or several, and says what it needs."""

import os
import pathlib
import shutil
import struct
import subprocess
import sys

from trainer import PROGRAM, check, main

HEADER = "epoch,phase,learning_rate,late_learning_rate,train_loss,train_accuracy,test_accuracy,seconds\n"
ROWS = "".join(
    f"{epoch},{'base' if epoch < 4 else 'late+swa'},{0.1 / epoch},0.05,{2 / epoch},{epoch / 10},{epoch / 12},1.5\n"
    for epoch in range(1, 8)
)


def plot(*arguments, **options):
    return subprocess.run(
        ["bash", PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def make_run(folder, text=HEADER + ROWS):
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(text)
    return folder


def check_picture(path):
    content = path.read_bytes()
    check(
        content[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", content[16:24]) == (900, 1100),
        f"{path} is not the picture",
    )
    return content


def one_run(folder):
    done = plot(make_run(folder / "a run's folder"))
    check(done.returncode == 0 and done.stderr == "", done.stderr)
    check(done.stdout.strip() == str(folder / "a run's folder" / "curves.png"), done.stdout)
    released = check_picture(folder / "a run's folder" / "curves.png")
    plot(make_run(folder / "plain" / "a run's folder", HEADER + ROWS.replace("late", "base")))
    check(check_picture(folder / "plain" / "a run's folder" / "curves.png") != released, "release is not marked")


def watched_gnuplot(folder):
    """A PATH on which gnuplot leaves the last epoch of what it draws in the file drawn."""
    script = folder / "bin" / "gnuplot"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntail -1 0 >'{folder}/drawn'\nexec '{shutil.which('gnuplot')}' \"$@\"\n")
    script.chmod(0o755)
    return f"{script.parent}:{os.environ['PATH']}"


def text_run(folder):
    """A language model's metrics: bits per character on a validation text, of which its loss there follows, and the
    ensemble's."""
    header = HEADER.replace("train_accuracy,test_accuracy", "train_bpc,valid_bpc")
    more = header.rstrip() + ",valid_ece,valid_bpc_ensemble,valid_ece_ensemble\n"
    rows = ROWS.splitlines()
    pictures, watched = set(), os.environ | {"PATH": watched_gnuplot(folder)}
    for number, text in enumerate(
        [
            header + ROWS,
            more + "".join(f"{row},0.1,,\n" if i < 4 else f"{row},0.1,0.3,0.1\n" for i, row in enumerate(rows)),
        ]
    ):
        done = plot(make_run(folder / str(number) / "run", text), env=watched)
        check(done.returncode == 0 and done.stderr == "", done.stderr)
        pictures.add(check_picture(folder / str(number) / "run" / "curves.png"))
        drawn = (folder / "drawn").read_text().split()
        check(drawn[7:] == ["0.404336", *(["?", "?"] if number == 0 else ["0.207944", "0.3"])], drawn)  # 7/12 ln 2
    check(len(pictures) == 2, "the ensemble is not drawn")


def seldom_scored_run(folder):
    """Empty cells, of epochs that were not scored, are passed over: the curve goes from score to score. There may be no
    score yet."""

    def rows(scored):
        return HEADER + "".join(
            f"{epoch},base,0.1,0.05,{2 / epoch},{epoch / 10},{epoch / 12 if epoch in scored else ''},1.5\n"
            for epoch in range(1, 8)
        )

    pictures = set()
    for number, scored in enumerate([range(1, 8), (1, 7), ()]):
        done = plot(make_run(folder / str(number) / "run", rows(scored)))
        check(done.returncode == 0 and done.stderr == "", done.stderr)
        pictures.add(check_picture(folder / str(number) / "run" / "curves.png"))
    check(len(pictures) == 3, "scores that are missing are drawn all the same")


def losses_and_ensembles(folder):
    """What is scored beside the metric is drawn where there is a column for it, from the first row on that has it."""
    more = HEADER.rstrip() + ",test_nll,test_ece,test_accuracy_ensemble,test_nll_ensemble,test_ece_ensemble\n"
    rows = ROWS.splitlines()
    pictures = set()
    for number, text in enumerate(
        [
            HEADER + ROWS,
            more + "".join(f"{row},{0.4 / i},0.1,,,\n" for i, row in enumerate(rows, 1)),
            more + "".join(f"{row},,,,,\n" if i < 4 else f"{row},0.4,0.1,0.8,0.3,0.1\n" for i, row in enumerate(rows)),
        ]
    ):
        done = plot(make_run(folder / str(number) / "run", text))
        check(done.returncode == 0 and done.stderr == "", done.stderr)
        pictures.add(check_picture(folder / str(number) / "run" / "curves.png"))
    check(len(pictures) == 3, "losses or ensembles are not drawn")
    done = plot(make_run(folder / "bad", more + f"{rows[0]},x,0.1,,,\n"))
    check(done.returncode == 1 and "metrics.csv:2: test_nll is not a number" in done.stderr, done.stderr)
    done = plot(make_run(folder / "first epoch", HEADER + rows[0] + "\n"))
    check(done.returncode == 0, done.stderr)


def several_runs(folder):
    names = [
        make_run(folder / "one"),
        make_run(folder / "two", HEADER + ROWS.replace("4,late+swa", "4,base")),
        make_run(folder / "one-epoch", HEADER + ROWS.splitlines()[0]),
    ]
    done = plot(*names, "--out", folder / "all.png")
    check(done.returncode == 0 and done.stderr == "", done.stderr)
    check_picture(folder / "all.png")
    check(not (folder / "one" / "curves.png").exists(), "--out did not replace the default")


def refusals(folder):
    good = make_run(folder / "good")
    for arguments, code, says in [
        ([], 2, "Usage"),
        (["--bogus"], 1, "unknown option --bogus"),
        ([good, "--out"], 1, "--out needs"),
        ([folder / "missing"], 1, "metrics.csv: no such file"),
        ([make_run(folder / "header", HEADER)], 1, "holds no epoch yet"),
        ([make_run(folder / "empty", "")], 1, "holds no epoch yet"),
        ([make_run(folder / "columns", HEADER.replace("train_loss", "x") + ROWS)], 1, "has no column train_loss"),
        ([make_run(folder / "values", HEADER + ROWS.replace("0.1,", "`id`,"))], 1, "is not a number"),
        ([make_run(folder / "short", HEADER + ROWS + "8,late\n")], 1, "metrics.csv:9: "),
        ([good, "--out", folder / "no" / "where.png"], 1, "cannot be written"),
    ]:
        done = plot(*arguments)
        check(done.returncode == code and says in done.stderr, f"{arguments}: {done.returncode} {done.stderr!r}")


def names_that_tools_take_for_something_else(folder):
    """awk's assignments, options, standard input, quotes: of run folders, of the picture, and of the folder for
    temporary files."""
    for number, name in enumerate(["lr=0.1", "a'b\"c", "back\\tslash", "$(id)", "two\nlines", "*"]):
        base = folder / str(number)
        make_run(base / name)
        done = plot(name, cwd=base)
        check(
            done.returncode == 0 and done.stderr == "" and done.stdout == f"{name}/curves.png\n",
            f"{name!r}: {done.stderr}",
        )
        check_picture(base / name / "curves.png")
    for number, name in enumerate(["-x", "-", "--out"]):
        base = folder / f"dash-{number}"
        make_run(base / name)
        done = plot("--out", "-x.png", "--", name, cwd=base)
        check(done.returncode == 0 and done.stderr == "" and done.stdout == "-x.png\n", f"{name!r}: {done.stderr}")
        check_picture(base / "-x.png")
    run = make_run(folder / "run")
    (folder / "elsewhere" / "run").mkdir(parents=True)
    for temporary in [folder / "it's", folder / "a=b c", "relative"]:
        (folder / temporary).mkdir()
        done = plot(
            run.name, cwd=folder, env={**os.environ, "TMPDIR": str(temporary), "CDPATH": str(folder / "elsewhere")}
        )
        check(done.returncode == 0 and done.stderr == "", f"TMPDIR {temporary}: {done.stderr}")
        check_picture(run / "curves.png")
        (run / "curves.png").unlink()
        check(list((folder / temporary).iterdir()) == [], f"files were left in {temporary}")


def without_gnuplot(folder):
    """With a PATH of everything else that the script needs."""
    for name in ["bash", "sed", "awk", "mktemp", "rm"]:
        os.symlink(shutil.which(name), folder / name)
    done = plot(make_run(folder / "run"), env={"PATH": str(folder)})
    check(done.returncode == 1 and "apt-get install gnuplot-nox" in done.stderr, done.stderr)


if shutil.which("gnuplot") is None:
    print("SKIPPED: gnuplot is not installed (Debian: gnuplot-nox)")
    sys.exit(77)
main(
    one_run,
    text_run,
    seldom_scored_run,
    losses_and_ensembles,
    several_runs,
    refusals,
    names_that_tools_take_for_something_else,
    without_gnuplot,
)
