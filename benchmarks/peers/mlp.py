#!/usr/bin/env python3
"""What bench_mlp times, in PyTorch: training steps of three linear layers with ReLU."""

import argparse
import json
import time

import torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("widths", type=int, nargs="*", default=[64, 256, 1024])
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--steps", type=int, default=20, help="steps in a measurement")
parser.add_argument("--seconds", type=float, default=2, help="time for measuring a width")
parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's choice")
parser.add_argument("--json")
options = parser.parse_args()
if options.threads:
    torch.set_num_threads(options.threads)
torch.manual_seed(0)
lines = []
for width in options.widths:
    net = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x, labels = torch.randn(options.batch, width), torch.randint(0, 10, (options.batch,))

    def run():
        for _ in range(options.steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), labels).backward()  # pylint: disable=cell-var-from-loop
            optimizer.step()  # pylint: disable=cell-var-from-loop

    run()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < options.seconds:
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) / options.steps * 1e3)
    mean = sum(times) / len(times)
    print(f"mlp-{width:<6} batch {options.batch}, {torch.get_num_threads()} threads: {mean:9.4f} ms a step", flush=True)
    lines.append({"work": f"mlp-{width}", "milliseconds": mean})
if options.json:
    with open(options.json, "w", encoding="utf-8") as file:
        for line in lines:
            print(json.dumps(line), file=file)
