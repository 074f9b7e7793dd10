#!/usr/bin/env python3
"""The table of lpw beside others from files of runs: lines of JSON as measure.py and lpw's programs write them, or the
JSON of bench_cuda_batch_norm. A folder stands for the files ROUND-NAME.json in it; ratios are formed within a round.
With --json FILE also all runs."""

import argparse
import json
import pathlib
import statistics


def runs_of_benchmark(content):
    """Google Benchmark's results of lpw's batch norm beside cuDNN, named bn/PRECISION/K<members>/<shape>, as runs of
    both."""
    for entry in content["benchmarks"]:
        _, precision, members, shape = entry["name"].split("/")[:4]
        run = {
            "work": f"bn {shape}",
            "members": int(members[1:]),
            "precision": precision,
            "batch": 128,
            "device": "cuda",
        }
        if entry.get("error_occurred"):
            yield {**run, "program": "lpw", "variant": "batched", "missing": entry["error_message"]}
            continue
        times = {
            name: entry[f"{counter}_us"] / 1e3
            for name, counter in [("milliseconds", "median"), ("low", "low"), ("high", "high")]
        }
        yield {**run, "program": "lpw", "variant": "batched", **times}
        yield {
            **run,
            "program": "cuDNN",
            "variant": entry.get("label", "").removeprefix("cuDNN, "),
            "milliseconds": entry["reference_us"] / 1e3,
        }


def load_file(path):
    """The runs in a file, each with the round that its name begins with."""
    text = path.read_text(encoding="utf-8")
    number = path.stem.split("-", 1)[0]
    if text.startswith("{\n"):  # Google Benchmark's; a run is one line
        runs = list(runs_of_benchmark(json.loads(text)))
    else:
        runs = [json.loads(line) for line in text.splitlines() if line]
    return [{**run, "round": number if number.isdigit() else ""} for run in runs]


def load(paths):
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    return [run for file in files for run in load_file(file)]


def grouped(runs):
    """{what was measured: {(program, variant): [runs]}}, in the order in which they come."""
    works = {}
    for run in runs:
        if "missing" not in run:
            key = tuple(run.get(name, "") for name in ("work", "members", "batch", "precision"))
            works.setdefault(key, {}).setdefault((run["program"], run["variant"]), []).append(run)
    return works


def memory(run):
    """Of the GPU where there is one, else of the process."""
    return run.get("device_peak_mb", run.get("peak_rss_mb") if run.get("device") == "cpu" else None)


def ratios(ours, theirs, value):
    """Theirs over ours in each round that has both."""
    mine = {run["round"]: value(run) for run in ours}
    pairs = [(value(run), mine.get(run["round"])) for run in theirs]
    return [a / b for a, b in pairs if a and b]


def spread(values, form):
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} ({format(min(values), form)} to {format(max(values), form)})"


def time_cell(runs):
    """The median over the rounds and its spread; of one round, the quartiles within it."""
    if len(runs) > 1 or "low" not in runs[0]:
        return spread([run["milliseconds"] for run in runs], ".3g" if runs[0]["milliseconds"] < 10 else ".1f")
    return "{:.4g} ({:.4g} to {:.4g})".format(*(runs[0][name] for name in ("milliseconds", "low", "high")))


def row(runs, best, compared):
    name = f"**{runs[0]['variant']}**" if best else runs[0]["variant"]
    used = [memory(run) for run in runs if memory(run)]
    return [
        f"{runs[0]['program']}, {name}",
        time_cell(runs),
        f"{statistics.median(used):.0f}" if used else "",
        *compared,
    ]


def rows_of(names):
    """lpw's runs first, then the others with how they compare; the fastest of other programs is in bold."""
    ours = next((runs for (program, _), runs in names.items() if program == "lpw"), None)
    others = {name: runs for name, runs in names.items() if runs is not ours}
    rivals = [name for name in others if name[0] != "lpw"]
    best = min(rivals, key=lambda name: statistics.median(run["milliseconds"] for run in others[name]), default=None)
    if ours:
        yield row(ours, False, ["", ""])
    for name, runs in others.items():
        faster = ratios(ours, runs, lambda run: run["milliseconds"]) if ours else []
        smaller = [1 / ratio for ratio in ratios(ours, runs, memory)] if ours else []
        yield row(
            runs,
            name == best,
            [spread(faster, ".2f") if faster else "", f"{statistics.median(smaller):.2f}" if smaller else ""],
        )


def table(runs):
    yield "| work | K | batch | precision | program | ms | peak memory, MB | lpw is faster by | memory, lpw / other |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for work, names in grouped(runs).items():
        for i, cells in enumerate(rows_of(names)):
            yield "| " + " | ".join(map(str, (list(work) if i == 0 else [""] * 4) + cells)) + " |"


def missing(runs):
    """A line for each run that could not be measured."""
    for run in runs:
        if "missing" in run:
            yield (
                f"{run['work']}, {run['precision']}, K {run['members']}: {run['program']}, {run['variant']}: "
                f"{run['missing']}"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    runs = load(options.paths)
    if options.json:
        options.json.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    print("\n".join(table(runs)))
    for line in missing(runs):
        print(f"\nNot measured: {line}")


if __name__ == "__main__":
    main()
