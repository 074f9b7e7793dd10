"""Usage: launcher.py LAUNCHER LAUNCHER_OF_ANY_PROCESSOR
What is installed as bin/lpw-NAME starts the program of the best level of x86-64 that there is, or of the one that is
asked for. The levels' programs are scripts here; of the second launcher the environment says which processor it is
on."""

import os
import pathlib
import shutil
import subprocess
import sys

from trainer import PROGRAM, check, main

ANY = sys.argv[2]
V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def install(root, launcher):
    """A launcher, and scripts that say their level and arguments."""
    (root / "bin").mkdir(parents=True)
    shutil.copy2(launcher, root / "bin" / "lpw-cifar")
    for level in ["x86-64-v2", "x86-64-v3", "x86-64-v4"]:
        script = root / "libexec" / "lpw" / level / "cifar"
        script.parent.mkdir(parents=True)
        script.write_text(f'#!/bin/sh\necho {level} "$@"\nexit 3\n')
        script.chmod(0o755)
    return root / "bin" / "lpw-cifar"


def start(launcher, *arguments, processor=None, level=None):
    environment = {name: value for name, value in os.environ.items() if name not in ("LPW_LEVEL", "LPW_TEST_LEVEL")}
    asked = {"LPW_TEST_LEVEL": processor, "LPW_LEVEL": level}
    environment |= {name: str(value) for name, value in asked.items() if value is not None}
    return subprocess.run([launcher, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def starts(expected, launcher, **options):
    done = start(launcher, "--epochs", "a b", **options)
    check(
        (done.returncode, done.stdout, done.stderr) == (3, f"x86-64-v{expected} --epochs a b\n", ""),
        f"{options}: expected level {expected}: {done}",
    )


def refuses(launcher, says, **options):
    done = start(launcher, **options)
    check(
        done.returncode == 1 and done.stdout == "" and done.stderr == f"lpw-cifar: {says}\n",
        f"{options}: {done.stderr!r}, expected {says!r}",
    )


def the_best_level_is_started(folder):
    launcher = install(folder, ANY)
    for level in [2, 3, 4]:
        starts(level, launcher, processor=level)
        starts(level, launcher, processor=4, level=f"x86-64-v{level}")
    starts(3, launcher, processor=3, level="")


def this_processor_is_known(folder):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        flags = set(next(line for line in file if line.startswith("flags")).split())
    starts(4 if V3 | V4 <= flags else 3 if V3 <= flags else 2, install(folder, PROGRAM))


def it_may_be_moved_and_linked(folder):
    launcher = install(folder / "one", ANY)
    (folder / "one").rename(folder / "two of them")
    launcher = folder / "two of them" / "bin" / launcher.name
    starts(4, launcher, processor=4)
    os.symlink(launcher, folder / "cifar")
    starts(2, folder / "cifar", processor=2)


def mistakes(folder):
    launcher = install(folder, ANY)
    refuses(
        launcher,
        "this processor is older than those that the program is built for (from x86-64-v2 on: SSE4.2 and POPCNT); "
        "build lpw on this machine",
        processor=1,
    )
    refuses(
        launcher,
        "LPW_LEVEL=v3: expected x86-64-v2 to x86-64-v4, or leave it out",
        processor=4,
        level="v3",
    )
    refuses(
        launcher,
        "LPW_LEVEL=x86-64-v4: this processor has x86-64-v3; leave it out",
        processor=3,
        level="x86-64-v4",
    )
    program = pathlib.Path(os.path.realpath(folder)) / "libexec" / "lpw" / "x86-64-v3" / "cifar"
    program.unlink()
    refuses(launcher, f"{program}: No such file or directory; install lpw-programs anew", processor=3)


main(the_best_level_is_started, this_processor_is_known, it_may_be_moved_and_linked, mistakes)
