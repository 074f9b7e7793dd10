"""Usage: collect_deps.py COLLECT_DEPS_SH
scripts/collect_deps.sh fills a folder that CMake builds from, also where Google Benchmark is not to be had."""

import os
import shutil
import subprocess
import sys

from trainer import check, main

SCRIPT = os.path.abspath(sys.argv[1])
HEADERS = [
    "include/eigen3/Eigen/Core",
    "include/nlohmann/json.hpp",
    "include/CLI/CLI.hpp",
    "include/toml++/toml.h",
    "include/catch2/catch.hpp",
]


def collect(folder, environment=None):
    """Calls the script, which tries what it has collected itself. Returns what it printed."""
    done = subprocess.run(
        ["bash", SCRIPT, folder],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    check(done.returncode == 0, f"exits with {done.returncode}: {done.stdout}{done.stderr}")
    for header in HEADERS:
        check((folder / header).exists(), f"{header} is missing")
    return done.stdout


def with_benchmark(folder):
    said = collect(folder / "dependencies")
    check(
        "Google Benchmark needs GLIBC_" in said and list((folder / "dependencies" / "lib").glob("libbenchmark.so*")),
        said,
    )


def without_benchmark(folder):
    """dpkg-query that knows of no such package."""
    stand_in = folder / "bin" / "dpkg-query"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\ncase "$*" in *libbenchmark-dev*) exit 1 ;; esac\nexec {shutil.which("dpkg-query")} "$@"\n'
    )
    stand_in.chmod(0o755)
    said = collect(folder / "dependencies", {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"})
    check(
        "the benchmarks will be left out" in said and not (folder / "dependencies" / "include" / "benchmark").exists(),
        said,
    )


def refusals(folder):
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("of somebody")
    for arguments, says in [
        ([], "expected one argument"),
        ([folder / "full"], "is there and not of an earlier call"),
    ]:
        done = subprocess.run(
            ["bash", SCRIPT, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        check(done.returncode == 1 and says in done.stderr, f"{arguments}: {done.returncode} {done.stderr!r}")
    check((folder / "full" / "file").exists(), "a file of somebody is gone")


PACKAGES = ["libeigen3-dev", "nlohmann-json3-dev", "libcli11-dev", "libtomlplusplus-dev", "libprotozero-dev", "catch2"]
PACKAGES.append("libbenchmark-dev")
if (
    shutil.which("dpkg-query") is None
    or subprocess.run(["dpkg-query", "-L", *PACKAGES], capture_output=True).returncode != 0
):
    print("SKIPPED: not all of these packages of Debian are installed: " + " ".join(PACKAGES))
    sys.exit(77)
main(with_benchmark, without_benchmark, refusals)
