#!/usr/bin/env python3
"""The table of wikitext2.sh from its runs: FOLDER/KIND-SEED/summary.json. Usage: wikitext2_table.py FOLDER KIND..."""

import json
import pathlib
import statistics
import sys


def summaries(folder, kind):
    paths = [
        path for path in sorted(folder.glob(f"{kind}-*/summary.json")) if path.parent.name[len(kind) + 1 :].isdigit()
    ]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def cell(runs, score):
    values = [run[score] for run in runs]
    if None in values:
        return ""
    return f"{statistics.mean(values):.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def row(kind, runs):
    members = {run["members"] for run in runs}
    ensemble = "" if members == {1} else cell(runs, "test_bpc_ensemble")
    minutes = statistics.median(run["seconds"] for run in runs) / 60
    scores = [
        cell(runs, "valid_bpc_collapsed"),
        cell(runs, "test_bpc_before_release"),
        cell(runs, "test_bpc_collapsed"),
        ensemble,
    ]
    return " | ".join([f"| {kind}", str(len(runs)), *scores, f"{minutes:.0f} |"])


def main(folder, *kinds):
    found = {kind: summaries(pathlib.Path(folder), kind) for kind in kinds}
    missing = [kind for kind, runs in found.items() if not runs]
    if missing:
        sys.exit(f"wikitext2_table.py: {folder} has no finished run of {', '.join(missing)}")
    print("| | runs | validation, collapsed | test, before release | test, collapsed | test, ensemble | minutes |")
    print("|---|---|---|---|---|---|---|")
    for kind, runs in found.items():
        print(row(kind, runs))


if __name__ == "__main__":
    main(*sys.argv[1:])
