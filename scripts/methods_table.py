"""Usage: methods_table.py FOLDER METHOD...
The table of scripts/methods.sh, from each run's summary.json and metrics.csv in FOLDER/METHOD: what is served and its
scores, and beside them what it cost. The time of a sample that a member is trained on is relative to that of sgd, where
that was run, else of the first."""

import csv
import json
import pathlib
import statistics
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "examples/study"))
from plan import flat, read_toml

COLUMNS = (
    "method",
    "served",
    "accuracy",
    "collapsed",
    "nll",
    "forward",
    "backward",
    "seconds",
    "time a sample",
    "peak MB",
    "served weights",
    "ms an image",
)


def served(summary):
    return next(row for row in summary["results"] if row["name"] == summary["served"])


def seconds_a_sample(folder):
    """Of training, for each sample that a member is trained on: the median of the epochs between the first and the
    last, whose times are of more than that."""
    with open(folder / "metrics.csv", newline="") as file:
        seconds = [float(row["epoch_seconds"]) for row in csv.DictReader(file)]
    options = flat(read_toml(folder / "config.toml"))
    shared = options.get("member-data", "own") == "own"  # else each member reads as many samples as one network does
    readers = [1 if shared or epoch < options["release-epoch"] else options["members"] for epoch in range(len(seconds))]
    paces = [s / (readers[epoch] * (options["train-subset"] or 50000)) for epoch, s in enumerate(seconds)]
    return statistics.median(paces[1:-1] or paces)


def row(method, summary, pace):
    result = served(summary)
    return (
        method,
        summary["served"],
        f"{result['test_accuracy']:.4f}",
        f"{summary['test_accuracy_collapsed']:.4f}",
        f"{result['test_nll']:.4f}",
        f"{summary['samples_forward']}",
        f"{summary['samples_backward']}",
        f"{summary['seconds']:.1f}",
        f"{pace:.2f}",
        f"{summary['peak_memory_mb']:.0f}",
        f"{summary['parameters_served']}",
        f"{summary['milliseconds_per_sample_served']:.3f}",
    )


def main():
    folder, methods = pathlib.Path(sys.argv[1]), sys.argv[2:]
    summaries = {name: json.loads((folder / name / "summary.json").read_text()) for name in methods}
    paces = {name: seconds_a_sample(folder / name) for name in methods}
    standard = paces.get("sgd", paces[methods[0]])
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for name in methods:
        print("| " + " | ".join(row(name, summaries[name], paces[name] / standard)) + " |")


if __name__ == "__main__":
    main()
