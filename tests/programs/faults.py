"""Usage: faults.py CIFAR|ENWIK8 FAULTS_SO [EVALUATE]
Each operation on the files of a run goes wrong in turn: the process is killed before it, the disk is full or fails, or
it is interrupted. Whatever then is in the folder is whole, and --resume ends with the bits of the undisturbed run.

So with the results of an evaluation: those of an earlier one stay until there are new ones.

A sample of the operations and kinds is tried, or with LPW_TEST_LONG=1 each of each."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys

from trainer import NAME, TINY, check, check_same, main, make_text, metrics, read_checkpoint, results, run

LIBRARY = os.path.abspath(sys.argv[2])
EVALUATE = sys.argv[3:]
LONG = os.environ.get("LPW_TEST_LONG", "") not in ("", "0")
SAMPLE = 6 if NAME == "cifar" else 40  # runs with a fault; those of the text take some 20 ms
KINDS = {
    "killed": "kill",
    "disk full": str(errno.ENOSPC),
    "disk failing": str(errno.EIO),
    "disk full in a write": "short",
}
random.seed(20210503)


def smallest(folder):
    """Options of a run that takes a fraction of a second and writes all kinds of files."""
    both = TINY + "--epochs 2 --members 2 --release-epoch 1 --average swa --average-start 1".split()
    if NAME == "cifar":
        return both + "--train-subset 20 --test-subset 5 --batch 10".split()
    (folder / "text").write_bytes(make_text(3000))
    return both + "--hidden 4 --embedding 2 --batch 3".split() + ["--data", folder / "text"]


def run_with_fault(arguments, out, at, kind, start=run):
    """Returns the process and the number of operations on files in `out`, None where it was killed."""
    count = out.parent / "count"
    count.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": LIBRARY,
        "FAULT_FOLDER": str(out),
        "FAULT_COUNT": str(count),
        "FAULT_AT": str(at),
        "FAULT_KIND": kind,
    }
    done = start(*arguments, "--out", out, env=environment)
    return done, int(count.read_text()) if count.exists() else None


def check_whole(folder, undisturbed, what):
    """No file in the folder is a part of one, but for the temporary ones of a killed process."""
    for path in folder.iterdir() if folder.exists() else []:
        if path.name == "checkpoint.lpw":
            header, payload = read_checkpoint(folder)
            size = max(tensor["data_offsets"][1] for tensor in header["tensors"].values())
            check(len(payload) == size + 4, f"{what}: checkpoint.lpw is a part of one")
        elif path.name == "metrics.csv":
            check(
                path.read_bytes().endswith(b"\n") and all(None not in row.values() for row in metrics(folder)),
                f"{what}: metrics.csv is a part",
            )
        elif path.name == "summary.json":
            json.loads(path.read_text())
        elif path.name == "config.toml":
            check(path.read_bytes() == (undisturbed / path.name).read_bytes(), f"{what}: config.toml is not the run's")
        elif path.name == "model.safetensors":
            check(
                path.read_bytes() == (undisturbed / path.name).read_bytes(),
                f"{what}: model.safetensors is not the run's",
            )
        else:
            check(what.startswith("killed") and path.name.endswith(".tmp"), f"{what}: {path.name} was left behind")


def faulty(arguments, folder, expected, at, name):
    """One run with one fault, and its resumption."""
    what = f"{name}, operation {at}"
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    done, _ = run_with_fault(arguments, out, at, KINDS[name])
    if name == "killed":
        check(done.returncode == -9, f"{what}: exit code {done.returncode}: {done.stderr}")
    elif done.returncode != 0:
        check(
            done.returncode == 1 and done.stderr.startswith(f"{NAME}: {out}") and done.stderr.count("\n") == 1,
            f"{what}: exit code {done.returncode}: {done.stderr!r}",
        )
    else:  # nothing was lost by it
        check_same(out, expected, what)
    check_whole(out, folder / "undisturbed", what)
    again = run(*arguments, "--out", out, "--resume")
    check(again.returncode == 0, f"{what}: --resume exits with {again.returncode}: {again.stderr}")
    check_same(out, expected, f"{what}, resumed")
    return done.returncode


def every_operation_goes_wrong(folder):
    arguments = smallest(folder)
    undisturbed = folder / "undisturbed"
    done, operations = run_with_fault(arguments, undisturbed, 0, "none")
    check(done.returncode == 0, done.stderr)
    check(
        operations is not None and operations > 50, f"only {operations} operations were counted: is {LIBRARY} loaded?"
    )
    expected = results(undisturbed)
    pairs = [(at, name) for at in range(1, operations + 1) for name in KINDS]
    if not LONG:
        pairs = random.sample(pairs, SAMPLE)
    codes = [faulty(arguments, folder, expected, at, name) for at, name in pairs]
    check(codes.count(1) > len(codes) / 4, f"most faults were not noticed: {codes}")
    print(
        f"{len(codes)} faults at {operations} operations: {codes.count(-9)} kills, {codes.count(1)} errors, "
        f"{codes.count(0)} without harm"
    )


def interruptions_do_no_harm(folder):
    """Each operation is interrupted by a signal once."""
    arguments = smallest(folder)
    done, _ = run_with_fault(arguments, folder / "undisturbed", 0, "none")
    check(done.returncode == 0, done.stderr)
    for resume in [[], ["--resume"]]:
        done, _ = run_with_fault(arguments + resume, folder / "run", 0, "interrupted")
        check(done.returncode == 0, f"interrupted operations: {done.stderr}")
        check_same(folder / "run", results(folder / "undisturbed"), "interrupted operations")


def evaluations_are_whole(folder):
    if not EVALUATE:
        return

    def evaluate(*arguments, env):
        return subprocess.run([*EVALUATE, *map(str, arguments)], capture_output=True, text=True, env=env)

    network, out = folder / "network", folder / "scores"
    check(run(*smallest(folder), "--out", network).returncode == 0, "no network")
    arguments = ["--network", network, "--threads", 1, "--test-subset", 10]
    done, operations = run_with_fault(arguments, out, 0, "none", evaluate)
    check(done.returncode == 0 and operations, done.stderr)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    check("evaluation.json" in before and len(before) == 3, sorted(before))
    pairs = [(at, name) for at in range(1, operations + 1) for name in KINDS]
    noticed = 0
    for at, name in pairs if LONG else random.sample(pairs, 10):
        what = f"evaluate: {name}, operation {at} of {operations}"
        done, _ = run_with_fault(arguments, out, at, KINDS[name], evaluate)
        if name == "killed":
            check(done.returncode == -9, f"{what}: exit code {done.returncode}: {done.stderr}")
        elif done.returncode != 0:
            named = done.stderr.startswith(f"evaluate: {out}") and done.stderr.count("\n") == 1
            check(done.returncode == 1 and named, f"{what}: exit code {done.returncode}: {done.stderr!r}")
        noticed += done.returncode != 0
        after = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.endswith(".tmp")}
        check(after == before, f"{what}: {sorted(after)} are not what was there")
        left = [path.name for path in out.iterdir() if path.name.endswith(".tmp")]
        check(name == "killed" or not left, f"{what}: {left} left behind")
        for unfinished in left:
            (out / unfinished).unlink()
    check(noticed > 2, "most faults were not noticed")


main(every_operation_goes_wrong, interruptions_do_no_harm, evaluations_are_whole)
