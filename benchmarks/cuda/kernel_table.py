#!/usr/bin/env python3
"""A table of the JSON of bench_cuda_kernels: what each kernel reaches of the rate of a copy in the same run. Also of
bench_cuda_batch_norm, beside cuDNN. The exit status is 1 if a benchmark failed."""

import argparse
import json
import pathlib


def load(path):
    """The measured kernels, and (name, why) of the others."""
    kernels, missing = [], []
    for entry in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
        name = entry["name"].split("/iterations:")[0]
        if entry.get("error_occurred"):
            missing.append((name, entry["error_message"]))
        else:
            kernels.append(
                {
                    "kernel": name,
                    **{
                        key: entry[key]
                        for key in ("median_us", "low_us", "high_us", "GB/s", "reference_us", "of_reference", "repeats")
                    },
                }
            )
    return kernels, missing


def table(kernels):
    yield "| kernel | size | µs (quartiles) | GB/s | of the reference's rate |"
    yield "|---|---|---|---|---|"
    for run in kernels:
        name, _, size = run["kernel"].partition("/")
        times = "{:.4g} ({:.4g} to {:.4g})".format(run["median_us"], run["low_us"], run["high_us"])
        yield f"| {name} | {size.replace('/', ', ')} | {times} | {run['GB/s']:.0f} | {run['of_reference']:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=pathlib.Path)
    kernels, missing = load(parser.parse_args().path)
    print("\n".join(table(kernels)))
    for name, why in missing:
        print(f"\nNot measured: {name}: {why}")
    return int(any(why != "no time left" for _, why in missing))


if __name__ == "__main__":
    raise SystemExit(main())
