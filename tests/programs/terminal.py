"""Usage: terminal.py CIFAR
A pipe gets plain lines; a terminal also gets a line of progress that is redrawn in place."""
import shlex
import shutil
import subprocess
import sys

from trainer import PROGRAM, TINY, check, main


def pipe(folder):
    command = [PROGRAM, *TINY, "--out", str(folder / "run")]
    printed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=600).stdout.decode()
    check("\r" not in printed and "\x1b" not in printed, f"control characters in {printed!r}")
    lines = printed.splitlines()
    check(sum(line.startswith("epoch ") for line in lines) == 4, f"expected a line for each of 4 epochs:\n{printed}")
    check(any("1 x 25 = 25 samples" in line for line in lines) and any("3 x 25 = 75 samples" in line for line in lines),
          f"the effective batch before and after release is not said:\n{printed}")


def terminal(folder):
    command = shlex.join([PROGRAM, *TINY, "--out", str(folder / "run")])
    done = subprocess.run(["script", "-qec", f"stty cols 80; {command}", "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=600)
    printed = (done.stdout + done.stderr).decode()
    check(done.returncode == 0, printed)
    drawn = [part for part in printed.split("\r\x1b[K") if "samples/s  ETA" in part and "\n" not in part]
    check(len(drawn) > 0, f"no progress was drawn in {printed!r}")
    check(all(len(part) < 80 for part in drawn), f"a line is wider than the terminal: {drawn}")


if shutil.which("script") is None:
    print("SKIPPED: the program script (Debian: bsdutils) is not installed")
    sys.exit(77)
main(pipe, terminal)
