#!/usr/bin/env python3
"""Usage: gpu_report.py OUT BUILD
Writes gpu_report.md and gpu_report.json to the folder OUT from what gpu_check.sh left in its folders data and logs;
scripts/gpu_stages.sh says what that is. BUILD is the folder that was built in."""

import json
import pathlib
import re
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "benchmarks" / "peers"), str(ROOT / "benchmarks" / "cuda")]
import compare_table  # noqa: E402 pylint: disable=wrong-import-position
import kernel_table  # noqa: E402 pylint: disable=wrong-import-position

LAST_LINES = 20
# What only a GPU can confirm, by words in the names of the tests that do.
CONFIRMED_BY = {
    "batch norm in every regime, type and number of items a group": ["in every regime"],
    "launches of more than 48 KB of shared memory": ["48 KB", "all the shared memory"],
    "cooperative grids of as many blocks as the driver says are resident": ["cooperative"],
    "convolutions by the algorithms that were chosen": ["convolutions on the GPU"],
    "what a captured step frees is kept for it": ["captured step frees"],
    "steps replayed with their losses read one step late": ["by replayed graphs"],
    "weights rounded once, recurrent products of whole vectors": ["rounded"],
    "the same bits again": ["the same bits every time", "the same every time"],
}
MACHINE = {
    "gpu": "GPU",
    "driver": "driver",
    "architecture": "built for",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "torch": "PyTorch",
    "cores": "CPU cores",
    "date": "date",
    "commit": "commit",
    "seconds": "seconds in all",
}


def rows(path):
    """The fields of each line."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def last_lines(text):
    return [line.rstrip() for line in text.splitlines() if line.strip()][-LAST_LINES:]


def cudnn_version(build):
    """Of the header that the build used."""
    cache = build / "CMakeCache.txt"
    folders = (
        re.findall(r"^LPW_CUDNN_INCLUDE:\w+=(.*)$", cache.read_text(encoding="utf-8"), re.MULTILINE)
        if cache.exists()
        else []
    )
    for folder in ";".join(folders).split(";"):
        header = pathlib.Path(folder) / "cudnn_version.h"
        if folder and header.exists():
            text = header.read_text(encoding="utf-8")
            parts = [
                re.search(rf"^#define CUDNN_{part} +(\d+)", text, re.MULTILINE)
                for part in ("MAJOR", "MINOR", "PATCHLEVEL")
            ]
            return ".".join(part[1] for part in parts if part)
    return "unknown"


def test_results(path):
    """How many tests passed and so on, the last lines of those that failed, and what that confirms, from what ctest
    wrote."""
    counts, failures, results = {}, [], []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        status = {"run": "passed", "fail": "failed", "notrun": "skipped", "disabled": "skipped"}.get(
            case.get("status"), case.get("status")
        )
        results.append((case.get("name"), status))
        counts[status] = counts.get(status, 0) + 1
        if status == "failed":
            failures.append({"name": case.get("name"), "last_lines": last_lines(case.findtext("system-out") or "")})
    return counts, failures, confirmed(results)


def confirmed(results):
    """Of each finding, how many of the tests that tell passed."""
    found = {}
    for finding, words in CONFIRMED_BY.items():
        statuses = [status for name, status in results if any(word in name for word in words)]
        found[finding] = {"passed": statuses.count("passed"), "tests": len(statuses)}
    return found


def read_log(path):
    return last_lines(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else []


def stage_results(out):
    """The stages in their order, each with what it left out and what failed in it."""
    notes, failures = rows(out / "data" / "notes.tsv"), rows(out / "data" / "failures.tsv")
    stages = []
    for name, status, seconds, reason in rows(out / "data" / "stages.tsv"):
        stage = {
            "name": name,
            "status": status,
            "seconds": int(seconds),
            "reason": reason,
            "left_out": [text for whose, text in notes if whose == name],
            "failures": [
                {"name": what, "last_lines": read_log(pathlib.Path(log))}
                for whose, what, log in failures
                if whose == name
            ],
        }
        tests = out / "data" / "tests.xml"
        if name == "tests" and tests.exists():
            stage["tests"], stage["failures"], stage["confirmed"] = test_results(tests)
        if status == "FAILED" and not stage["failures"]:
            stage["failures"] = [{"name": name, "last_lines": read_log(out / "logs" / f"{name}.log")}]
        stages.append(stage)
    return stages


def loaded(load, path, otherwise, broken):
    """load(path); `otherwise`, and a word in `broken`, for what a program that was stopped left half written."""
    try:
        return load(path)
    except (ValueError, KeyError) as error:
        broken.append(f"{path.name} is not whole: {error}")
        return otherwise


def benchmark_results(data):
    """The kernels beside copies, the runs of batch norm and of training steps, and what could not be measured."""
    broken, kernels, missing, runs, eager = [], [], [], [], []
    if (data / "kernels.json").exists():
        kernels, missing = loaded(kernel_table.load, data / "kernels.json", ([], []), broken)
    for path in sorted(data.iterdir()):
        if path.name == "eager.jsonl":
            eager = loaded(compare_table.load_file, path, [], broken)
        elif path.suffix == ".jsonl" or path.name == "batch_norm.json":
            runs += loaded(compare_table.load_file, path, [], broken)
    return {
        "kernels": kernels,
        "batch_norm": [run for run in runs if run["work"].startswith("bn ")],
        "steps": [run for run in runs if not run["work"].startswith("bn ")],
        "eager": eager_ratios(eager, runs),
        "not_measured": broken + [f"{name}: {why}" for name, why in missing] + list(compare_table.missing(runs)),
    }


def collect(out, build):
    report = {
        **dict(rows(out / "data" / "machine.tsv")),
        "cudnn": cudnn_version(build),
        "stages": stage_results(out),
        "benchmarks": benchmark_results(out / "data"),
    }
    report["seconds"] = sum(stage["seconds"] for stage in report["stages"])
    programs = {run["program"] for part in ("batch_norm", "steps") for run in report["benchmarks"][part]}
    report["torch"] = next((name.split(" ", 1)[1] for name in programs if name.startswith("PyTorch ")), "none")
    report["passed"] = all(stage["status"] != "FAILED" for stage in report["stages"])
    return report


def detail(stage):
    tests = ", ".join(f"{count} {status}" for status, count in stage.get("tests", {}).items())
    return "; ".join(text for text in (tests, stage["reason"]) if text)


def verdict(counts):
    if counts["tests"] == 0:
        return "not tested"
    return "yes" if counts["passed"] == counts["tests"] else "**NO**"


def confirmed_table(report):
    """What the tests say, and whether a step takes longer where kernels are loaded as they come."""
    found = next((stage["confirmed"] for stage in report["stages"] if "confirmed" in stage), None)
    if not found:
        return
    yield from ["| | | tests that passed |", "|---|---|---|"]
    for finding, counts in found.items():
        yield f"| {finding} | {verdict(counts)} | {counts['passed']} of {counts['tests']} |"
    for name, ratio in sorted(report["benchmarks"]["eager"].items()):
        yield f"| step of {name}, with all kernels loaded at the start | {ratio:.2f} of its time without | |"


def eager_ratios(eager, steps):
    """Of each run, its time with all kernels loaded at the start, as a share of that without."""

    def times(runs):
        return {
            f"{run['work']}, {run['precision']}, K {run['members']}": run["milliseconds"]
            for run in runs
            if run["program"] == "lpw" and "milliseconds" in run
        }

    before = times(steps)
    return {name: time / before[name] for name, time in times(eager).items() if name in before}


def section(title, lines):
    return ["", f"## {title}", "", *lines] if lines else []


def markdown(report):
    yield f"# GPU check: {'passed' if report['passed'] else 'FAILED'}"
    yield from ["", "| | |", "|---|---|"]
    yield from (f"| {title} | {report[name]} |" for name, title in MACHINE.items() if name in report)
    yield from section("Stages", ["| stage | result | seconds | |", "|---|---|---|---|"])
    yield from (
        f"| {stage['name']} | {stage['status']} | {stage['seconds']} | {detail(stage)} |" for stage in report["stages"]
    )
    yield from section("Confirmed on this GPU", list(confirmed_table(report)))
    yield from section(
        "Failures",
        [
            line
            for stage in report["stages"]
            for failure in stage["failures"]
            for line in (f"{stage['name']}: {failure['name']}", "```", *failure["last_lines"], "```", "")
        ],
    )
    benchmarks = report["benchmarks"]
    left_out = [f"{stage['name']}: {text}" for stage in report["stages"] for text in stage["left_out"]]
    yield from section("Left out", [f"* {text}" for text in left_out + benchmarks["not_measured"]])
    if benchmarks["kernels"]:
        yield from section(
            "Kernels beside a copy of as many bytes, with a cold cache", list(kernel_table.table(benchmarks["kernels"]))
        )
    if benchmarks["batch_norm"]:
        yield from section(
            "Batch norm + ReLU, forward and backward", list(compare_table.table(benchmarks["batch_norm"]))
        )
    if benchmarks["steps"]:
        yield from section("Training steps", list(compare_table.table(benchmarks["steps"])))


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, build = map(pathlib.Path, sys.argv[1:])
    report = collect(out, build)
    (out / "gpu_report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / "gpu_report.md").write_text("\n".join(markdown(report)) + "\n", encoding="utf-8")
    print(f"\n{out / 'gpu_report.md'}: {'passed' if report['passed'] else 'FAILED'}")


if __name__ == "__main__":
    main()
