"""Usage: terminal.py CIFAR|ENWIK8
A pipe gets plain lines; a terminal also gets a line of progress that is redrawn in place."""

import shlex
import shutil
import subprocess
import sys

from trainer import NAME, PROGRAM, TINY, check, main

UNIT = "characters" if NAME == "enwik8" else "samples"
ITERATIONS = (
    [f"1 x 30 streams x 10 = 300 {UNIT}", f"3 x 10 streams x 10 = 300 {UNIT}"]
    if NAME == "enwik8"
    else [f"1 x 25 = 25 {UNIT}", f"3 x 25 = 75 {UNIT}"]
)


def pipe(folder):
    command = [PROGRAM, *TINY, "--out", str(folder / "run")]
    printed = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=600
    ).stdout.decode()
    check("\r" not in printed and "\x1b" not in printed, f"control characters in {printed!r}")
    lines = printed.splitlines()
    check(sum(line.startswith("epoch ") for line in lines) == 4, f"expected a line for each of 4 epochs:\n{printed}")
    check(
        all(any(iteration in line for line in lines) for iteration in ITERATIONS),
        f"the effective batch before and after release is not said:\n{printed}",
    )


def terminal(folder):
    command = shlex.join([PROGRAM, *TINY, "--out", str(folder / "run")])
    done = subprocess.run(
        ["script", "-qec", f"stty cols 80; {command}", "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=600,
    )
    printed = (done.stdout + done.stderr).decode()
    check(done.returncode == 0, printed)
    drawn = [part for part in printed.split("\r\x1b[K") if f"{UNIT}/s  ETA" in part and "\n" not in part]
    check(len(drawn) > 0, f"no progress was drawn in {printed!r}")
    check(all(len(part) < 80 for part in drawn), f"a line is wider than the terminal: {drawn}")


if shutil.which("script") is None:
    print("SKIPPED: the program script (Debian: bsdutils) is not installed")
    sys.exit(77)
main(pipe, terminal)
