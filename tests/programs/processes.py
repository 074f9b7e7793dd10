"""Usage: processes.py CIFAR|ENWIK8 MPIRUN METHODS
Runs over processes: what one process computes, to rounding, and the same bits in each run of as many; methods of the
folder METHODS, too, dropout and bfloat16; a run goes on in another number of processes, after a signal or a kill of any
of them; what processes do not have in common is refused. With LPW_TEST_LONG=1 twenty kills in place of one, and all
methods."""

import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

from pictures import png
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
RATE = 0.002 if NAME == "cifar" else 0.01  # the former for smaller steps, that double rounding errors less often
FEWER = ["--epochs", 3, "--release-epoch", 1, "--lr", RATE]
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


class OneProcess:
    """A run in one process, and how far rounding moves it: to where it ends with rates that differ by 1e-6, which is
    what sums in another order change of a float32 gradient (2e-6 after one step). Both grow alike with the steps, since
    a rectifier that opens or closes for it is a jump of the gradient; so a run over processes may end up to eight times
    as far away (of five runs of each program two and a half at most)."""

    FREEDOM = 8

    def __init__(self, folder, *arguments):
        self.folder, self.arguments, self.rounded = folder / "one", arguments, folder / "rounded"
        train(self.folder, *arguments)
        train(self.rounded, *arguments, "--lr", (1 + 1e-6) * RATE)
        self.bounds = {}
        for name, values in weights(self.folder).items():
            rounding = max(*apart(weights(self.rounded)[name], values), 2**-24 * max(map(abs, values)))
            self.bounds[name] = self.FREEDOM * rounding

    def check_sees_a_step(self, folder):
        """More than half of the members' late-phase weights end further away if they are not stepped once. (Of ten
        whose gradient was left out of a step by hand, in one process, seven were found.)"""
        train(folder / "start", *self.arguments, "--lr", 1e-30)
        ways = apart(weights(self.folder)["weights.late"], weights(folder / "start")["weights.late"])
        step = statistics.median(ways) / checkpoint_progress(self.folder)["step"]
        bound = self.bounds["weights.late"]
        check(bound < step, f"rounding may move a weight by {bound}, a step by {step}")


def weights(folder):
    """What a run ends with, of all members: weights, their averages and running statistics."""
    kinds = re.compile("weights|average.average|buffers")
    names = [name for name in read_checkpoint(folder)[0]["tensors"] if kinds.match(name)]
    return {name: values for name in names if (values := checkpoint_tensor(folder, name))}


def apart(values, others):
    check(len(values) == len(others), f"{len(values)} weights, expected {len(others)}")
    return [abs(value - other) for value, other in zip(values, others)]


def check_close(folder, one, what, most=1e-3):
    """What a run computed is what one process computes: its weights but for rounding, losses and scores, which weights
    decide, to `most` of them or an odd sample."""
    for name, values in weights(folder).items():
        wrong = [distance for distance in apart(values, weights(one.folder)[name]) if not distance <= one.bounds[name]]
        check(not wrong, f"{what}: {len(wrong)} of {name} are up to {max(wrong, default=0)} away")
    rows, others = metrics(folder), metrics(one.folder)
    check(len(rows) == len(others), f"{what}: {len(rows)} epochs, expected {len(others)}")
    exact = ["epoch", "phase", "learning_rate", "late_learning_rate", "samples_forward", "samples_backward"]
    exact += ["parameters_trained", "parameters_served"]
    for row, other in zip(rows, others):
        for name in exact:
            check(row[name] == other[name], f"{what}: {name} is {row[name]}, expected {other[name]}")
    found, right = scores(folder), scores(one.folder)
    check(found.keys() == right.keys(), f"{what}: {found.keys() ^ right.keys()}")
    for name in found:
        for number, expected in zip(found[name], right[name]):
            if number == expected:
                continue
            tolerance = 0.04 if "accuracy" in name or "ece" in name else most * abs(float(expected))
            check(abs(float(number) - float(expected)) <= tolerance, f"{what}: {name} is {number}, expected {expected}")


def scores(folder):
    """What a run reports at its end, as lists: everything but times and memory."""
    reported = metrics(folder)[-1] | summary(folder)
    lists = {name: value if isinstance(value, list) else [value] for name, value in reported.items()}
    return {
        name: [value[SCORE] if isinstance(value, dict) else value for value in values]
        for name, values in lists.items()
        if not re.search("seconds|memory", name)
    }


def train_as_one_process(folder):
    more = ["--average", "ema:0.9", "--snapshots", 2, "--schedule", "cosine-cycles:1"]
    more += ["--sam", 0.05, "--sam-start", 2]
    if NAME == "cifar":
        more += ["--held-out", 40, "--collapse", "greedy", "--coupling", "pull:0.1", "--coupling-every", 2]
    one = OneProcess(folder, *TINY, *FEWER, *more)
    one.check_sees_a_step(folder)
    for processes in (2, 4):  # a process has two of the three members, or shares one with another
        out = folder / str(processes)
        printed = over(processes, out, *TINY, *FEWER, *more)
        check(printed.count("epoch 1/3") == 1, f"not one process speaks: {printed}")
        check_close(out, one, f"{processes} processes")
    over(2, folder / "again", *TINY, *FEWER, *more)
    check_same(folder / "again", results(folder / "2"), "two processes, again")


# Of methods' files those whose members, or what is done with them, are others than elsewhere in these tests.
SHORTLY = ["deep-ensemble", "elastic-averaging", "late-phase-templates", "lookaround", "mc-dropout", "wash"]


def methods_train_as_in_one_process(folder):
    """Four members in two processes, or in three; with LPW_TEST_LONG=1 all methods, in both."""
    for number, path in enumerate(sorted(pathlib.Path(sys.argv[3]).glob("*.toml"))):
        method = path.stem
        if not LONG and method not in SHORTLY:
            continue
        options = ["--config", path, "--model", "hyper-wrn-10-1" if "templates" in method else "wrn-10-1", "--lr", RATE]
        options += "--train-subset 40 --test-subset 60 --batch 10 --eval-every 100 --threads 1".split()
        one = OneProcess(folder / method, *options)
        for processes in (2, 3) if LONG else (2 + number % 2,):
            out = folder / method / str(processes)
            over(processes, out, *options)
            # rates of their own, of some, let rounding grow to a per cent or two of a loss
            check_close(out, one, f"{method} in {processes} processes", most=0.05)


def dropout_is_that_of_one_process(folder):
    """By the masks of a minibatch's parts, then of members, and those of samples of the network that is left."""
    samples = ["--serve", "dropout:3"]
    options = [*TINY, *FEWER, "--epochs", 2, "--dropout", 0.2, *samples]
    one = OneProcess(folder, *options)
    over(2, folder / "2", *options)
    check_close(folder / "2", one, "dropout in 2 processes")
    scored = ["--eval", one.folder / "checkpoint.lpw", "--test-subset", 60, *samples]
    expected, found = run(*scored).stdout, ended(begin(3, *scored))[1]
    check("3 dropout samples" in expected and found == expected, f"scores {found}, expected {expected}")


def bfloat16_trains_as_in_one_process(folder):
    options = [*TINY, *FEWER, "--epochs", 2, "--precision", "bf16"]
    one = OneProcess(folder, *options)
    over(2, folder / "2", *options)
    check_close(folder / "2", one, "2 processes in bfloat16", most=0.01)


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
    one = OneProcess(folder, *TINY, *LONGER)
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
        check_close(out, one, f"{first} processes, then {then}")


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
        rank = random.randrange(processes)
        try:
            os.kill(pids[rank], signal.SIGKILL)
        except ProcessLookupError:
            pass
        begun = time.monotonic()
        code, printed, complaints = ended(process)
        if not (out / "summary.json").exists():
            break
        shutil.rmtree(out)
    check(code != 0, "all kills came after the end")
    check(time.monotonic() - begun < 20, "the others go on")
    check(re.search(rf"rank {rank}\b", complaints), f"nothing names process {rank}: {complaints}")
    check(f"\nprocess {rank} died, and the others end; resume" in complaints, f"no word of resuming: {complaints}")
    check("stopping after this step" not in complaints, f"it does not stop after a step: {complaints}")


def a_killed_process_ends_all(folder):
    """With LPW_TEST_LONG=1 also in other numbers, before and after."""
    arguments = TINY + LONGER + EVERY_STEP
    over(2, folder / "undisturbed", *arguments)
    expected = results(folder / "undisturbed")
    one = OneProcess(folder, *arguments) if LONG else None
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
        check_close(out, one, f"killed in {before} processes, and resumed in {after}")


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


def files_that_differ_are_refused(folder):
    """Of machines that do not share them: two folders under one name, and the number of an open file."""
    for number in (1, 2):  # whose checkpoints say how long they took, and are of one size or not
        train(folder / str(number) / "run", *TINY, "--epochs", 3)
    (folder / "2" / "run" / "model.safetensors").write_text("another")
    (folder / "3").mkdir()

    def two(before, after, one, other):
        start = lambda number: ["-n", 1, "sh", "-c", f"cd {folder}/{number}; exec {PROGRAM} {before} {options} {after}"]
        options = " ".join(map(str, [*TINY, "--epochs", 3]))
        return launch([LAUNCHER, *start(one), ":", *start(other)])

    refused_by(two("--resume --out run", "", 1, 2), "run is a folder with a checkpoint of", "FNV-1a")
    refused_by(two("--resume --out run", "", 1, 3), "run is a folder with a checkpoint of", "without a checkpoint in")
    begun = f"--init /dev/fd/9 --out {folder}/begun"
    refused_by(two(begun, "9<run/model.safetensors", 1, 2), "/dev/fd/9 is", "FNV-1a")
    check(not (folder / "begun").exists(), "a run that was refused has a folder")


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

    def images_that_differ_are_refused(folder):
        """Two folders under one path, which is an open folder's, with files of the same names and sizes."""
        for number in (1, 2):
            for name, value in ("dark", number), ("bright", 250):
                (folder / str(number) / "images" / name).mkdir(parents=True)
                for i in range(8):
                    picture = png(8, 8, lambda: value, level=0)  # pylint: disable=cell-var-from-loop
                    (folder / str(number) / "images" / name / f"{i}.png").write_bytes(picture)
        options = "--dataset folder --data /dev/fd/9/images --image-size 8 --split 0.2 --model wrn-10-1 --epochs 1"
        options += f" --out {folder}/run"
        start = lambda number: ["-n", 1, "sh", "-c", f"exec {PROGRAM} {options} 9<{folder}/{number}"]
        process = launch([LAUNCHER, *start(1), ":", *start(2)])
        refused_by(process, "the data set is training", " in process 1; all processes must be started alike")

    def normalise_by_parts(folder):
        over(2, folder / "local", *TINY, *FEWER, "--statistics", "local")
        over(2, folder / "global", *TINY, *FEWER)
        over(4, folder / "sharing", *TINY, *FEWER, "--statistics", "local")  # two of them a member
        check('statistics = "local"' in (folder / "local" / "config.toml").read_text(), "config.toml does not say so")
        check(results(folder / "local")["model"] != results(folder / "global")["model"], "it changes nothing")

    main(
        train_as_one_process,
        methods_train_as_in_one_process,
        dropout_is_that_of_one_process,
        bfloat16_trains_as_in_one_process,
        go_on_in_another_number,
        normalise_by_parts,
        a_signal_to_any_process_ends_all,
        a_killed_process_ends_all,
        what_differs_is_refused,
        files_that_differ_are_refused,
        images_that_differ_are_refused,
    )
else:
    main(train_as_one_process, go_on_in_another_number, texts_that_differ_are_refused)
