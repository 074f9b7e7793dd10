"""Usage: gpu_check.py GPU_CHECK_SH
scripts/gpu_check.sh makes its reports and hides no failure, here with stand-ins for the GPU, the tools and the programs
that it builds."""

import json
import os
import shutil
import subprocess
import sys

from trainer import check, main

SCRIPT = os.path.abspath(sys.argv[1])
UTILITIES = [
    "awk",
    "bash",
    "basename",
    "cat",
    "cp",
    "date",
    "dirname",
    "find",
    "git",
    "grep",
    "head",
    "mkdir",
    "nproc",
    "rm",
    "sed",
    "sort",
    "tail",
    "tee",
    "timeout",
    "touch",
    "tr",
    "wc",
]
STAGES = ["build", "tests", "memcheck", "racecheck", "steps", "eager", "cudnn", "kernels", "batch_norm", "torch"]
BENCHMARKS = ["steps", "eager", "cudnn", "kernels", "batch_norm"]

# Each stand-in writes its command line to $FAKE/calls, and fails if $FAKE/fail-<name> is there, after saying so.
PROLOGUE = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >>"$FAKE/calls"
fails() { [ -e "$FAKE/fail-$1" ] && echo "$1 goes wrong" && echo "and stops"; }
value() { for argument in "${arguments[@]}"; do case $argument in "$1="*) echo "${argument#*=}" ;; esac; done; }
arguments=("$@")
"""
FAKES = {
    "nvidia-smi": "if fails driver; then exit 9; fi; " "echo 'NVIDIA H900, 580.1, 9.0'; echo 'NVIDIA H900, 580.1, 9.0'",
    "nvcc": """echo 'Cuda compilation tools, release 13.0, V13.0.88'""",
    "ninja": "",
    "cmake": """
        if [ "$1" = --build ]; then
          fails build && exit 1
          mkdir -p "$2/tests/cuda" "$2/benchmarks"
          cp "$FAKE/lpw_test_cuda" "$2/tests/cuda/"
          cp "$FAKE"/bench_cuda_* "$2/benchmarks/"
        else
          [ "$(value -DLPW_BUILD_BENCHMARKS)" = OFF ] || ! fails configure || exit 1
          { echo "LPW_CUDNN_INCLUDE:PATH=$FAKE"
            echo "LPW_CUDNN_LIBRARY:FILEPATH=$FAKE/packages/nvidia/cudnn/lib/libcudnn.so.9"
          } >"$(dirname "$FAKE")/build/CMakeCache.txt"
        fi""",
    "ctest": """
        echo "libraries: $LD_LIBRARY_PATH" >>"$FAKE/calls"
        status=run
        if fails tests; then status=fail; fi
        if fails blind; then status=notrun; fi
        while [ $# -gt 0 ]; do [ "$1" != --output-junit ] || file=$2; shift; done
        printf '<testsuite><testcase name="cuda.good" status="%s"/>
          <testcase name="cuda.batch norm in every regime" status="%s"><system-out>one\\ntwo is wrong</system-out>
          </testcase><testcase name="cuda.none" status="notrun"/></testsuite>' ${status/fail/run} $status >"$file"
        [ $status != fail ]""",
    "compute-sanitizer": """
        if fails unsupported; then
          echo '========= Error: Device not supported. Please refer to the "Supported Devices" section'
          exit 99
        fi
        if fails internal && [ "${arguments[-1]}" = "[#optimizer]" ]; then
          echo '========= Internal Sanitizer Error: it stumbles'
          exit 99
        fi
        if fails $2 && [ "${arguments[-1]}" = "[#optimizer]" ]; then
          echo '========= Invalid __global__ read of size 4 bytes'
          exit 99
        fi
        echo '========= ERROR SUMMARY: 0 errors'""",
    "lpw_test_cuda": "",
    "bench_cuda_kernels": """
        if fails blind; then exit 77; fi
        if fails half; then printf '{\\n  "benchmarks": [' >"$(value --benchmark_out)"; exit 1; fi
        cat >"$(value --benchmark_out)" <<JSON
        {
          "benchmarks": [
            {"name": "add/bf16/4MB/iterations:15/manual_time", "median_us": 10, "low_us": 9, "high_us": 11,
             "GB/s": 1250, "reference_us": 9, "of_reference": 0.9, "repeats": 20},
            {"name": "fill/1", "error_occurred": true,
             "error_message": "$(fails kernels >/dev/null && echo broken || echo no time left)"}
          ]
        }
JSON
        """,
    "bench_cuda_batch_norm": """
        cat >"$(value --benchmark_out)" <<JSON
{
          "benchmarks": [
            {"name": "bn/bf16/K10/8x8x640/iterations:30/manual_time", "label": "cuDNN, persistent", "median_us": 100,
             "low_us": 90, "high_us": 110, "GB/s": 2000, "reference_us": 300, "of_reference": 3, "repeats": 1}
          ]
}
JSON
        """,
    "bench_cuda_step": """
        fails steps && exit 1
        echo "modules: $CUDA_MODULE_LOADING" >>"$FAKE/calls"
        [ -z "$CUDNN_LOGDEST_DBG" ] || ! fails cudnn || echo 'W! CuDNN (v90807) is unhappy' >"$CUDNN_LOGDEST_DBG"
        file=/dev/null
        while [ $# -gt 0 ]; do [ "$1" != --json ] || file=$2; shift; done
        echo '{"program": "lpw", "work": "wrn-16-4", "variant": "batched", "members": 10, "batch": 128,
          "precision": "bf16", "device": "cuda", "milliseconds": 20, "low": 19, "high": 21,
          "device_peak_mb": 100}' | tr -d '\\n' >"$file"
        """,
    "torch": """
        [ "$1" != -c ] || exit 0
        fails torch && exit 1
        work="wrn-16-4"
        case $1 in *batch_norm.py) work="bn 8x8x640" ;; esac
        while [ $# -gt 0 ]; do [ "$1" != --json ] || file=$2; shift; done
        case $file in *lstm* | *compiled*) exit 0 ;; esac
        common='"program": "PyTorch 9.9", "members": 10, "batch": 128, "precision": "bf16", "device": "cuda"'
        common="$common, \\"work\\": \\"$work\\""
        { echo "{$common, \\"variant\\": \\"loop\\", \\"milliseconds\\": 50, \\"low\\": 49, \\"high\\": 51}"
          echo "{$common, \\"variant\\": \\"vmap\\", \\"missing\\": \\"no time left\\"}"; } >"$file"
        """,
}


def make_fakes(folder, without=()):
    fakes = folder / "fakes"
    fakes.mkdir(parents=True)
    # what is called so may be a script that looks for others
    (fakes / "python3").symlink_to(os.path.realpath(sys.executable))
    for name in UTILITIES:
        if shutil.which(name):
            (fakes / name).symlink_to(os.path.realpath(shutil.which(name)))
    for name, text in FAKES.items():
        if name not in without:
            (fakes / name).write_text(PROLOGUE + text.strip() + "\n")
            (fakes / name).chmod(0o755)
    for package in ["cudnn", "cuda_nvrtc"]:
        (fakes / "packages" / "nvidia" / package / "lib").mkdir(parents=True)
    (fakes / "cudnn_version.h").write_text("#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 8\n#define CUDNN_PATCHLEVEL 7\n")
    return fakes


def gpu_check(folder, *arguments, fail=(), without=(), environment=None):
    """Runs the script. Returns its process and, where they were written, both reports."""
    fakes = make_fakes(folder, without)
    for name in fail:
        (fakes / f"fail-{name}").touch()
    (folder / "build").mkdir(exist_ok=True)
    variables = {
        "PATH": str(fakes),
        "FAKE": str(fakes),
        "CUDA_HOME": str(folder / "nowhere"),
        "LPW_TORCH_PYTHON": str(fakes / "torch"),
        "HOME": str(folder),
        **(environment or {}),
    }
    done = subprocess.run(
        [fakes / "bash", SCRIPT, "--out", folder / "out", "--build", folder / "build", *arguments],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    paths = [folder / "out" / f"gpu_report.{form}" for form in ("json", "md")]
    if not all(path.exists() for path in paths):
        return done, None, None
    return done, json.loads(paths[0].read_text()), paths[1].read_text()


def statuses(report):
    return {stage["name"]: stage["status"] for stage in report["stages"]}


def expect(done, report, code, **different):
    """The exit status, and the stages' results but for those that passed."""
    check(report is not None, f"no report: {done.stdout}{done.stderr}")
    check(done.returncode == code, f"exits with {done.returncode}: {done.stdout}{done.stderr}")
    expected = {name: different.get(name, "PASSED") for name in STAGES}
    check(statuses(report) == expected, f"{statuses(report)}, expected {expected}: {done.stdout}{done.stderr}")


def contains(text, *parts):
    for part in parts:
        check(part in text, f"no {part!r} in: {text}")


def all_is_well(folder):
    done, report, text = gpu_check(folder)
    expect(done, report, 0)
    machine = {
        "gpu": "NVIDIA H900",
        "driver": "580.1",
        "architecture": "90",
        "cuda": "13.0",
        "cudnn": "9.8.7",
        "torch": "9.9",
    }
    check({name: report[name] for name in machine} == machine, f"{report}")
    check(report["passed"] and report["date"] and report["commit"] and "seconds" in report["stages"][0], f"{report}")
    contains(
        text,
        "# GPU check: passed",
        "| GPU | NVIDIA H900 |",
        "| tests | PASSED |",
        "2 passed, 1 skipped",
        "| add | bf16, 4MB | 10 (9 to 11) | 1250 | 0.90 |",
        "PyTorch 9.9, **loop**",
        "cuDNN, **persistent**",
        "fill/1: no time left",
        "PyTorch 9.9, vmap: no time left",
        "looks at lpw's kernels only",
        "| batch norm in every regime, type and number of items a group | yes | 1 of 1 |",
        "| launches of more than 48 KB of shared memory | not tested | 0 of 0 |",
        "| step of wrn-16-4, bf16, K 10, with all kernels loaded at the start | 1.00 of its time without | |",
    )
    check(
        [run["program"] for run in report["benchmarks"]["steps"]] == ["lpw", "PyTorch 9.9", "PyTorch 9.9"],
        f"{report['benchmarks']}",
    )
    calls = (folder / "fakes" / "calls").read_text()
    contains(
        calls,
        "-DCMAKE_CUDA_ARCHITECTURES=90-real",
        "-DLPW_EMULATOR=OFF",
        "--label-regex ^gpu$",
        "--tool memcheck",
        "--tool racecheck",
        "-# [#batch_norm]",
        "bench_cuda_kernels --limit=",
        "--precision bf16",
        "modules: EAGER",
    )
    contains(calls, *[f"/packages/nvidia/{package}/lib" for package in ["cudnn", "cuda_nvrtc"]])
    check("[#network]" not in calls and "[#main]" not in calls, "compute-sanitizer runs whole trainings")


def failures_hide_nothing(folder):
    for number, (fail, failed, says) in enumerate(
        [
            (
                ["tests"],
                ["tests"],
                [
                    "tests: cuda.batch norm in every regime\n```\none\ntwo is wrong\n```",
                    "1 passed, 1 failed, 1 skipped",
                ],
            ),
            (
                ["tests"],
                ["tests"],
                ["| batch norm in every regime, type and number of items a group | **NO** | 0 of 1 |"],
            ),
            (["cudnn"], [], ["cuDNN's log has 1 warnings and errors"]),
            (["memcheck"], ["memcheck"], ["memcheck: optimizer\n```", "Invalid __global__ read", "```"]),
            (["internal"], [], ["memcheck of tests/cuda/optimizer.cpp: Internal Sanitizer Error: it stumbles"]),
            (["kernels"], ["kernels"], ["fill/1: broken", "| add |"]),
            (["half"], ["kernels"], ["kernels.json is not whole", "half goes wrong"]),
            (["blind"], ["tests", "kernels"], ["all tests found no GPU", "kernels found no GPU", "3 skipped"]),
            (
                ["steps", "torch"],
                ["steps", "eager", "cudnn", "torch"],
                ["steps: steps\n```", "steps goes wrong\nand stops", "torch: batch_norm.py (all)"],
            ),
        ]
    ):
        done, report, text = gpu_check(folder / str(number), fail=fail)
        expect(done, report, int(bool(failed)), **{name: "FAILED" for name in failed})
        contains(text, f"# GPU check: {'FAILED' if failed else 'passed'}", *says)


def a_build_that_fails(folder):
    """What was not built fails; PyTorch is measured all the same."""
    done, report, text = gpu_check(folder, fail=["build"])
    expect(done, report, 1, **{name: "FAILED" for name in STAGES if name != "torch"})
    contains(text, "lpw_test_cuda was not built", "build goes wrong")


def missing_tools_are_named(folder):
    done, report, text = gpu_check(folder / "tools", without=["compute-sanitizer", "torch"])
    expect(done, report, 0, memcheck="SKIPPED", racecheck="SKIPPED", torch="SKIPPED")
    contains(text, "there is no compute-sanitizer", "set LPW_TORCH_PYTHON")
    done, report, text = gpu_check(folder / "benchmark", fail=["configure"])
    expect(done, report, 0, **{name: "SKIPPED" for name in BENCHMARKS})
    contains(text, "benchmarks are left out")
    dependencies = folder / "dependencies"
    (dependencies / "lib").mkdir(parents=True)
    (dependencies / "lib" / "libbenchmark.so.1").write_text("made for another machine")
    done, report, text = gpu_check(folder / "library", environment={"LPW_DEPS_DIR": str(dependencies)})
    expect(done, report, 0, **{name: "SKIPPED" for name in BENCHMARKS})
    contains(text, "benchmarks are left out: OSError")


def what_a_machine_cannot_do_is_skipped(folder):
    """Each sanitizer's reason is in the report."""
    done, report, text = gpu_check(folder, fail=["unsupported"])
    expect(done, report, 0, memcheck="SKIPPED", racecheck="SKIPPED")
    contains(text, "compute-sanitizer cannot be used on this machine: Error: Device not supported.")


def chosen_stages(folder):
    done, report, _ = gpu_check(folder / "some", "--stages", "memcheck,build", "--arch", "80")
    check(
        done.returncode == 0 and statuses(report) == {"build": "PASSED", "memcheck": "PASSED"},
        f"{done.stdout}{done.stderr}",
    )
    contains((folder / "some" / "fakes" / "calls").read_text(), "-DCMAKE_CUDA_ARCHITECTURES=80-real")


def refusals(folder):
    """One line that names the cure."""
    for number, (arguments, fail, without, says) in enumerate(
        [
            ([], [], ["nvidia-smi"], "there is no NVIDIA GPU here: run this where nvidia-smi lists one"),
            ([], ["driver"], [], "there is no NVIDIA GPU here: run this where nvidia-smi lists one"),
            ([], [], ["nvcc"], "nvcc is needed and not installed"),
            (["--stages", "build,nothing"], [], [], "--stages nothing: expected some of build tests"),
            (["--bogus"], [], [], "unknown option --bogus"),
            (["--arch"], [], [], "--arch needs a value"),
            (["--arch", "sm_90"], [], [], "--arch sm_90: expected a number"),
            (["--minutes", "0"], [], [], "--minutes: expected a whole number from 1 to 999999999, found 0"),
        ]
    ):
        done, report, _ = gpu_check(folder / str(number), *arguments, fail=fail, without=without)
        check(done.returncode == 1 and report is None, f"{arguments}: {done.returncode}")
        check(says in done.stderr and done.stderr.count("\n") == 1, f"{arguments}: {done.stderr!r}")


def only_reports_are_replaced(folder):
    """What else lies in the folder for the report stays: a data set in data/, say."""
    stays = [
        folder / "out" / "data" / "cifar-10-batches-bin" / "data_batch_1.bin",
        folder / "out" / "logs" / "thesis.log",
    ]
    for file in stays:
        file.parent.mkdir(parents=True)
        file.write_text("mine")
    for name in ["logs", "data"]:
        done, report, _ = gpu_check(folder)
        check(
            done.returncode == 1 and report is None and f"{name} is there and not of an earlier call" in done.stderr,
            done.stdout + done.stderr,
        )
        check(
            all(file.exists() for file in stays if name != "data" or "data" in file.parts),
            "another's files were removed",
        )
        shutil.rmtree(folder / "fakes")
        shutil.move(folder / "out" / name, folder / name)
    (folder / "out" / "data").symlink_to(folder / "data")
    done, _, _ = gpu_check(folder)
    check(
        done.returncode == 1 and (folder / "data" / "cifar-10-batches-bin" / "data_batch_1.bin").exists(),
        done.stdout + done.stderr,
    )
    (folder / "out" / "data").unlink()
    for _ in range(2):  # the second replaces the first one's
        shutil.rmtree(folder / "fakes")
        done, report, _ = gpu_check(folder, "--stages", "build")
        check(done.returncode == 0 and report is not None, done.stdout + done.stderr)
        (folder / "out" / "mine").touch()
    check((folder / "out" / "mine").exists(), "another's file was removed")


def explains_itself(_):
    done = subprocess.run(["bash", SCRIPT, "--help"], capture_output=True, text=True, check=False)
    check(
        done.returncode == 0 and done.stdout.startswith("Usage: scripts/gpu_check.sh") and "--arch NN" in done.stdout,
        done.stdout + done.stderr,
    )


main(
    all_is_well,
    failures_hide_nothing,
    a_build_that_fails,
    missing_tools_are_named,
    what_a_machine_cannot_do_is_skipped,
    chosen_stages,
    refusals,
    only_reports_are_replaced,
    explains_itself,
)
