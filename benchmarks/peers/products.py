#!/usr/bin/env python3
"""The matrix products that bench_products times, in PyTorch, whose wheels multiply floats by MKL: GFLOP/s, medians."""

import argparse
import json
import statistics
import subprocess
import time

import torch

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("program", help="bench_products, which knows the shapes")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--only", default="", help="shapes whose names hold this")
parser.add_argument("--rounds", type=int, default=7, help="measurements of each, of which the median counts")
options = parser.parse_args()
torch.set_num_threads(options.threads)


def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def rate(case):
    """Of c [rows, columns] = a b; nt: b's columns are contiguous, nn: its rows are, tn: a's columns are."""
    rows, columns, depth = case["rows"], case["columns"], case["depth"]
    a = torch.randn(depth, rows).T if case["kind"] == "tn" else torch.randn(rows, depth)
    b = torch.randn(columns, depth).T if case["kind"] == "nt" else torch.randn(depth, columns)
    c = torch.empty(rows, columns)
    run = lambda: torch.mm(a, b, out=c)
    run()
    repeats = min(max(int(0.004 / seconds(run)), 1), 1000)
    many = lambda: [run() for _ in range(repeats)]
    return statistics.median(
        2e-9 * rows * columns * depth * repeats / seconds(many) for _ in range(options.rounds)
    )


print("| product, c [rows, columns] over depth | threads | PyTorch |\n|---|---|---|")
known = subprocess.run([options.program, "--cases"], check=True, capture_output=True, text=True).stdout
for line in known.splitlines():
    shape = json.loads(line)
    if options.only in shape["name"]:
        place = f"{shape['name']} [{shape['rows']}, {shape['columns']}] over {shape['depth']}"
        print(f"| {place} | {options.threads} | {rate(shape):.0f} |", flush=True)
