"""What the tests of the trainers share: starting one on tiny runs, and comparing what runs leave behind."""

import array
import atexit
import csv
import json
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.abspath(sys.argv[1])

# In memory, where there is room: runs that save after each step wait for a disk most of the time.
if not os.environ.get("TMPDIR") and os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2**30:
    tempfile.tempdir = "/dev/shm"

NAME = os.path.basename(PROGRAM)


def make_text(size, seed=1):
    """Something to learn for a language model: sentences with numbers that follow from each other."""
    return b"".join(
        b"%d late-phase weights of %d members are averaged\n" % (i * seed % 97, i * seed % 7) for i in range(size // 40)
    )[:size]


def tiny(text=40000):
    """Options of a run large enough for several iterations an epoch after release, small enough for a second; a
    language model's is on so many bytes."""
    both = "--epochs 4 --members 3 --release-epoch 2 --threads 1".split()
    if NAME != "enwik8":
        return "--model wrn-10-1 --train-subset 300 --test-subset 60 --batch 25".split() + both
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lpw-"))
    atexit.register(shutil.rmtree, folder)
    (folder / "text").write_bytes(make_text(text))
    return ["--data", str(folder / "text")] + "--hidden 32 --embedding 8 --bptt 10 --batch 10 --lr 0.01".split() + both


TINY = tiny()
FILES = {"checkpoint.lpw", "config.toml", "metrics.csv", "model.safetensors", "summary.json"}


def run(*arguments, timeout=600, **options):
    """Runs the program to its end. Returns its CompletedProcess with texts."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        **options,
    )


def without_threads(program, folder):
    """Options of subprocess for a process that gets no second thread, whose files lie in the folder; none where that
    cannot be arranged. Limits on processes are not for root."""

    def limit():
        if os.geteuid() == 0:
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

    folder.chmod(0o777)
    try:
        subprocess.run(["test", "-x", program], preexec_fn=limit, cwd=folder, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no process without threads can be had: {error}")
        return None
    return {"preexec_fn": limit}


def train(folder, *arguments):
    """Trains into a folder, which must succeed. Returns what was printed and the seconds it took."""
    start = time.monotonic()
    done = run(*arguments, "--out", folder)
    check(done.returncode == 0, f"{arguments} --out {folder} exits with {done.returncode}: {done.stderr}")
    return done.stdout, time.monotonic() - start


def start(*arguments):
    return subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def check_refusal(done, *says):
    """That study.py refused in one line, which has these words."""
    check(done.returncode == 1, f"exits with {done.returncode}: {done.stderr}")
    check(done.stderr.startswith("study.py: ") and done.stderr.count("\n") == 1, f"not one line: {done.stderr}")
    for words in says:
        check(words in done.stderr, f"no {words!r} in {done.stderr!r}")


def refused(*arguments, says=(), **options):
    """The program must fail with one line that holds all the words of `says`."""
    done = run(*arguments, **options)
    check(done.returncode in (1, 2), f"{arguments}: exits with {done.returncode}: {done.stderr}")
    check(
        done.stderr.startswith(f"{NAME}: ") and done.stderr.count("\n") == 1,
        f"{arguments}: not one line: {done.stderr!r}",
    )
    check(all(map(str.isprintable, done.stderr[:-1])), f"{arguments}: not printable: {done.stderr!r}")
    for words in [says] if isinstance(says, str) else says:
        check(words in done.stderr, f"{arguments}: no {words!r} in {done.stderr!r}")
    return done.stderr


def table(printed):
    """The scores of each row of the result table, whosever weights it is of."""
    rows = re.findall(r"^  (\S.*?)((?:\s+\d+\.\d{4})+)$", printed, re.MULTILINE)
    plain = lambda name: re.sub(r", (swa|ema|lawa|centre|epoch \d+)$", "", name)
    return {plain(name): [float(value) for value in values.split()] for name, values in rows}


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def metrics(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def read_checkpoint(folder):
    """The JSON header of a run's checkpoint and the bytes after it."""
    content = (folder / "checkpoint.lpw").read_bytes()
    (length,) = struct.unpack_from("<Q", content, 8)
    return json.loads(content[16 : 16 + length]), content[16 + length + 4 :]


def checkpoint_progress(folder):
    return read_checkpoint(folder)[0]["meta"]["progress"]


def checkpoint_tensor(folder, name):
    """The values of a float32 tensor in a run's checkpoint."""
    header, payload = read_checkpoint(folder)
    first, last = header["tensors"][name]["data_offsets"]
    return array.array("f", payload[first:last])


def results(folder):
    """What a run computed: everything but times and memory."""
    measured = {"epoch_seconds", "seconds", "peak_memory_mb"}
    measured |= {"milliseconds_per_sample", "milliseconds_per_sample_served"}
    computed = lambda row: {name: value for name, value in row.items() if name not in measured}
    whole = computed(summary(folder))
    return {
        "summary": whole | {"results": [computed(row) for row in whole["results"]]},
        "metrics": [computed(row) for row in metrics(folder)],
        "model": (folder / "model.safetensors").read_bytes(),
        "snapshots": contents(folder / "snapshots"),
    }


def check_same(folder, expected, what):
    """The run in a folder computed what is expected, bit for bit, and left no other files."""
    found = results(folder)
    for part in expected:
        check(
            found[part] == expected[part],
            f"{what}: {part} differs:\n{str(found[part])[:600]}\nexpected\n{str(expected[part])[:600]}",
        )
    names = {path.name for path in folder.iterdir()}
    more = {"snapshots"} if found["snapshots"] else set()
    check(names == FILES | more, f"{what}: the folder holds {sorted(names)}")


def contents(folder):
    """Every file under a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def main(*tests):
    """Runs each test in an empty folder and reports them all."""
    failed = 0
    for test in tests:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="lpw-") as folder:
            try:
                test(pathlib.Path(folder))
                verdict = "passed"
            except AssertionError as error:
                failed += 1
                verdict = f"FAILED: {error}"
        print(f"{test.__name__} ({time.monotonic() - begin:.1f} s): {verdict}", flush=True)
    sys.exit(1 if failed else 0)
