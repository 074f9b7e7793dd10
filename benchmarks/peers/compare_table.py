#!/usr/bin/env python3
"""The table of compare.sh from the runs it made: FOLDER/WORK/ROUND-NAME.json, each one process. With --json FILE also all runs."""

import argparse
import collections
import json
import pathlib
import statistics


def load(folder):
    """{work: {name: {round: run}}}, works and names in the order of the first round."""
    works = collections.OrderedDict()
    for path in sorted(folder.glob("*/*.json")):
        number, name = path.stem.split("-", 1)
        content = json.loads(path.read_text(encoding="utf-8"))
        works.setdefault(path.parent.name, {}).setdefault(name, {})[number] = content["runs"][0]
    return works


def ratios(ours, theirs, member):
    """Theirs over ours in each round that has both."""
    return [theirs[number][member] / ours[number][member] for number in ours if number in theirs]


def spread(values, form):
    text = format(statistics.median(values), form)
    return text if len(values) == 1 else f"{text} ({format(min(values), form)} to {format(max(values), form)})"


def row(runs, ours, best):
    name = f"**{runs[0]['variant']}**" if best else runs[0]["variant"]
    cells = [f"{runs[0]['program']}, {name}", spread([run["milliseconds"] for run in runs], ".1f"),
             f"{statistics.median(run['peak_rss_mb'] for run in runs):.0f}"]
    return cells + ours


def table(works):
    yield "| work | K | batch | precision | program | step, ms | peak memory, MB | lpw is faster by | memory, lpw / PyTorch |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for names in works.values():
        ours = names.pop("lpw", None)
        if not ours:
            continue
        first = next(iter(ours.values()))
        faster = {name: ratios(ours, runs, "milliseconds") for name, runs in names.items()}
        faster = {name: values for name, values in faster.items() if values}
        best = min(faster, key=lambda name: statistics.median(faster[name]), default=None)
        rows = [row(list(ours.values()), ["", ""], False)]
        for name, values in faster.items():
            memory = [1 / value for value in ratios(ours, names[name], "peak_rss_mb")]
            rows.append(row(list(names[name].values()), [spread(values, ".2f"), f"{statistics.median(memory):.2f}"], name == best))
        for i, cells in enumerate(rows):
            work = [first["work"], first["members"], first["batch"], first["precision"]] if i == 0 else [""] * 4
            yield "| " + " | ".join(map(str, work + cells)) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    works = load(options.folder)
    if options.json:
        options.json.write_text(json.dumps(works, indent=1), encoding="utf-8")
    print("\n".join(table(works)))


if __name__ == "__main__":
    main()
