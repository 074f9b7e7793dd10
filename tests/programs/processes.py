"""Usage: processes.py CIFAR|ENWIK8 MPIRUN
Runs over processes: what one process computes, to rounding, and the same bits in each run of as many; a run goes on in
another number of processes, after a signal or a kill of any of them; what processes do not have in common is refused.
With LPW_TEST_LONG=1 twenty kills in place of one."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from trainer import *

LONG = os.environ.get("LPW_TEST_LONG", "") not in ("", "0")
random.seed(20210503)
LAUNCHER = os.path.abspath(sys.argv[2])
# As root, more processes than processors, and in containers.
ENVIRONMENT = os.environ | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
}
FEWER = ["--epochs", 3, "--release-epoch", 1]
if NAME == "cifar":  # with smaller steps, that double rounding errors less often
    FEWER += ["--lr", 0.002, "--late-lr", 0.002]
SCORE = "test_nll" if NAME == "cifar" else "test_bpc"
EVERY_STEP = ["--checkpoint-minutes", "0.000001"]


def launch(command):
    return subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def begin(processes, *arguments):
    return launch([LAUNCHER, "-n", processes, PROGRAM, *arguments])


def ended(process):
    """The exit code and what was printed. Processes that wait for each other take minutes where others are busy."""
    try:
        printed, complaints = process.communicate(timeout=600)
    finally:
        process.terminate()  # the launcher's processes, too
    return process.returncode, printed, complaints


def over(processes, folder, *arguments):
    """Trains in so many processes. Returns what was printed."""
    code, printed, complaints = ended(begin(processes, *arguments, "--out", folder))
    check(code == 0, f"{processes} processes: {arguments} exits with {code}: {complaints}")
    return printed


def lines_of(complaints):
    """The program's own among them."""
    return [line for line in complaints.splitlines() if line.startswith(f"{NAME}: ")]


def refused_by(process, *says):
    """The program must end at once, say why in one line, once, and leave no process."""
    code, printed, complaints = ended(process)
    lines = lines_of(complaints)
    check(code != 0 and len(lines) == 1, f"exits with {code}: {complaints}")
    for words in says:
        check(words in lines[0], f"no {words!r} in {lines[0]!r}")


def check_close(folder, expected, what):
    """Sums in another order round otherwise: losses and scores of short runs agree to four digits or an odd sample."""
    rows, others = metrics(folder), metrics(expected)
    check(len(rows) == len(others), f"{what}: {len(rows)} epochs, expected {len(others)}")
    exact = ["epoch", "phase", "learning_rate", "late_learning_rate", "samples_forward", "samples_backward"]
    exact += ["parameters_trained", "parameters_served"]
    for row, other in zip(rows, others):
        for name in exact:
            check(row[name] == other[name], f"{what}: {name} is {row[name]}, expected {other[name]}")
    found, right = summary(folder), summary(expected)
    check(found.keys() == right.keys(), f"{what}: {found.keys() ^ right.keys()}")
    scores = [(rows[-1][name], others[-1][name], name) for name in rows[-1] if name not in exact]
    scores += [(found[name], right[name], name) for name in right]
    for value, other, name in scores:
        if any(word in name for word in ["seconds", "memory"]) or isinstance(other, (list, str)) and other == value:
            continue
        for one, two in zip(*(x if isinstance(x, list) else [x] for x in (value, other))):
            if isinstance(two, dict):
                one, two = one[SCORE], two[SCORE]
            tolerance = 0.04 if "accuracy" in name or "ece" in name else 1e-3 * abs(float(two))
            check(abs(float(one) - float(two)) <= tolerance, f"{what}: {name} is {one}, expected {two}")


def train_as_one_process(folder):
    more = ["--average", "ema:0.9", "--snapshots", 2, "--schedule", "cosine-cycles:1"]
    more += ["--sam", 0.05, "--sam-start", 2]
    if NAME == "cifar":
        more += ["--held-out", 40, "--collapse", "greedy", "--coupling", "pull:0.1", "--coupling-every", 2]
    train(folder / "one", *TINY, *FEWER, *more)
    for processes in (2, 4):  # a process has two of the three members, or shares one with another
        out = folder / str(processes)
        printed = over(processes, out, *TINY, *FEWER, *more)
        check(printed.count("epoch 1/3") == 1, f"not one process speaks: {printed}")
        check_close(out, folder / "one", f"{processes} processes")
    over(2, folder / "again", *TINY, *FEWER, *more)
    check_same(folder / "again", results(folder / "2"), "two processes, again")


def ranks_of(process):
    """The processes of the program under mpirun."""
    found, deadline = [], time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True).stdout
        children = {}
        for pid, parent, name in (line.split(None, 2) for line in listed.splitlines()[1:]):
            children.setdefault(int(parent), []).append((int(pid), name))
        found, open_ = [], [process.pid]
        while open_:
            for pid, name in children.get(open_.pop(), []):
                open_.append(pid)
                found += [pid] if name.startswith(NAME) else []
        if len(found) > 1:
            return found
        time.sleep(0.05)
    raise AssertionError("the processes do not start")


# Long enough to be interrupted.
LONGER = [*FEWER, *(["--train-subset", 900] if NAME == "cifar" else [])]


def interrupted(count, out, reached):
    """A signal to one of them: the launcher takes longer to hand one on than the run lasts."""
    process = begin(count, *TINY, *LONGER, *EVERY_STEP, "--out", out)
    pids = ranks_of(process)
    while process.poll() is None and not reached.exists():
        time.sleep(0.001)
    try:
        os.kill(pids[0], signal.SIGTERM)
    except ProcessLookupError:
        pass
    ended(process)


def go_on_in_another_number(folder):
    train(folder / "one", *TINY, *LONGER)
    for number, (first, then) in enumerate([(2, 4), (4, 1)]):
        out = folder / f"{first}-{then}"
        # Before release, where a minibatch is cut, and behind it. On a busy machine a signal may come after the end.
        for _ in range(20):
            interrupted(first, out, out / ("metrics.csv" if number else "checkpoint.lpw"))
            if not (out / "summary.json").exists():
                break
            shutil.rmtree(out)
        check(out.exists(), "all signals came after the end")
        done = over(then, out, *TINY, *LONGER, "--resume") if then > 1 else train(out, *TINY, *LONGER, "--resume")[0]
        check("resuming in epoch" in done, f"it does not go on: {done}")
        check_close(out, folder / "one", f"{first} processes, then {then}")


def a_signal_to_any_process_ends_all(folder):
    process = begin(2, *TINY, "--epochs", 400, "--release-epoch", 200, "--out", folder / "run")
    process.stdout.readline()
    while not (folder / "run" / "metrics.csv").exists():
        time.sleep(0.05)
    os.kill(ranks_of(process)[-1], signal.SIGTERM)
    code, printed, complaints = ended(process)
    check(code == 128 + signal.SIGTERM, f"exits with {code}: {complaints}")
    check(printed.count("interrupted; everything up to this step is in") == 1, printed)
    check(checkpoint_progress(folder / "run")["step"] > 0, "there is no checkpoint")


def killed(processes, out, *arguments):
    """Kills one of them at some moment after the first checkpoint. On a busy machine the run may have ended by then."""
    for _ in range(20):
        process = begin(processes, *arguments, "--out", out)
        pids = ranks_of(process)
        while process.poll() is None and not (out / "checkpoint.lpw").exists():
            time.sleep(0.001)
        time.sleep(random.uniform(0, 1) ** 2)
        try:
            os.kill(random.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            pass
        begun = time.monotonic()
        code, printed, complaints = ended(process)
        if not (out / "summary.json").exists():
            break
        shutil.rmtree(out)
    check(code != 0, "all kills came after the end")
    check(time.monotonic() - begun < 120, "the others go on")
    check(re.search(r"rank \d", complaints), f"nothing names the process: {complaints}")


def a_killed_process_ends_all(folder):
    """With LPW_TEST_LONG=1 also in other numbers, before and after."""
    arguments = TINY + LONGER + EVERY_STEP
    over(2, folder / "undisturbed", *arguments)
    expected = results(folder / "undisturbed")
    for attempt in range(20 if LONG else 1):
        out = folder / str(attempt)
        if attempt % 2 == 0:
            killed(2, out, *arguments)
            over(2, out, *arguments, "--resume")
            check_same(out, expected, "killed, and resumed in as many processes")
            continue
        before = random.choice([2, 3, 4])
        after = random.choice([count for count in (1, 2, 3, 4) if count != before])
        killed(before, out, *arguments)
        over(after, out, *arguments, "--resume")
        check_close(out, folder / "undisturbed", f"killed in {before} processes, and resumed in {after}")


def what_differs_is_refused(folder):
    def two(one, other):
        return launch([LAUNCHER, "-n", 1, PROGRAM, *one, ":", "-n", 1, PROGRAM, *other])

    out = ["--out", folder / "run"]
    refused_by(two([*TINY, *out], [*TINY, *out, "--epochs", 5]), "--epochs is 4 in process 0 and 5 in process 1")
    refused_by(begin(2, *TINY, *out, "--epochs", "many"), "--epochs")
    check(not (folder / "run").exists(), "a run that was refused has a folder")
    code, printed, complaints = ended(begin(2, "--help"))
    check(code == 0 and printed.count("Usage:") == 1, f"--help exits with {code}: {complaints}{printed}")
    (folder / "locked").write_text("")
    refused_by(begin(2, *TINY, "--out", folder / "locked"), "cannot create the run folder")


def texts_that_differ_are_refused(folder):
    """Two files under one name, the number of an open one."""
    for name, size in ("one", 40000), ("other", 40000), ("empty", 0):
        (folder / name).write_bytes(make_text(size, len(name)))

    def two(one, other):
        options = " ".join([PROGRAM, *TINY, "--data", "/dev/fd/9", "--out", str(folder / "run")])
        start = lambda name: ["-n", 1, "sh", "-c", f"exec {options} 9<{folder / name}"]
        return launch([LAUNCHER, *start(one), ":", *start(other)])

    refused_by(two("one", "other"), "the data set is training", " in process 1; all processes must be started alike")
    refused_by(two("one", "empty"), "/dev/fd/9: is empty; expected a text")  # which is process 1's to say


if NAME == "cifar":

    def normalise_by_parts(folder):
        over(2, folder / "local", *TINY, *FEWER, "--statistics", "local")
        over(2, folder / "global", *TINY, *FEWER)
        over(4, folder / "sharing", *TINY, *FEWER, "--statistics", "local")  # two of them a member
        check('statistics = "local"' in (folder / "local" / "config.toml").read_text(), "config.toml does not say so")
        check(results(folder / "local")["model"] != results(folder / "global")["model"], "it changes nothing")

    main(
        train_as_one_process,
        go_on_in_another_number,
        normalise_by_parts,
        a_signal_to_any_process_ends_all,
        a_killed_process_ends_all,
        what_differs_is_refused,
    )
else:
    main(train_as_one_process, go_on_in_another_number, texts_that_differ_are_refused)
