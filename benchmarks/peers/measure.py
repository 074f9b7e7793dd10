"""How the PyTorch peers measure: options, variants, repetitions, peak memory, and a line of JSON for each run, as lpw's
own benchmarks write it."""

import argparse
import importlib
import json
import platform
import resource
import statistics
import time

import torch

WARM_UP = 3


def parser(description):
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    options.add_argument(
        "--precision", type=list_of("fp32", "tf32", "bf16"), default=["fp32"], help="of fp32, tf32, bf16"
    )
    options.add_argument("--members", type=lambda text: [int(k) for k in text.split(",")], default=[10], help="K, ...")
    options.add_argument("--samples", type=int, default=0, help="measurements; 0: what --seconds holds, at least 3")
    options.add_argument("--steps", type=int, default=1, help="steps in a measurement")
    options.add_argument("--seconds", type=float, default=5, help="time for measuring a run")
    options.add_argument("--limit", type=float, default=0, help="seconds after which no run begins; 0: none")
    options.add_argument("--json", help="also write the results to this file, a line of JSON for each run")
    return options


def list_of(*known):
    """The type of an argument that names some of these."""

    def parse(text):
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name}: expected some of {', '.join(known)}")
        return text.split(",")

    return parse


def prepare(options):
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU that PyTorch can use")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)


def use_precision(precision):
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):
        backend.allow_tf32 = precision == "tf32"


def autocast(options):
    return torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16")


def compiled(function, options, **inductor):
    """torch.compile, which compiles a network anew for every member whose modules it selects by number."""
    dynamo = importlib.import_module("torch._dynamo")
    dynamo.reset()  # what was compiled for other runs counts towards the limit, beyond which nothing is compiled
    for name in ("recompile_limit", "cache_size_limit"):  # the latter before PyTorch 2.6
        if hasattr(dynamo.config, name):
            setattr(dynamo.config, name, 2 * options.members + 8)
            break
    return torch.compile(function, dynamic=False, options=inductor)


def graphed(step):
    """The step as one launch of a CUDA graph. It drops its gradients at its start, so that they too lie in the graph's
    memory."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def synchronize(options):
    if options.device == "cuda":
        torch.cuda.synchronize()


def wall_clock(step, options):
    """Milliseconds: the mean of options.steps calls, after which the device is waited for."""
    start = time.perf_counter()
    for _ in range(options.steps):
        step()
    synchronize(options)
    return (time.perf_counter() - start) * 1e3 / options.steps


class ColdEvents:
    """Milliseconds on the GPU between events, of one call that finds the second-level cache full of other data.
    Emptying it takes longer than issuing a few launches, so that the GPU waits for the host only where there are
    many."""

    def __init__(self):
        self.flood = torch.zeros(64 << 20, device="cuda")
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def __call__(self, step, options):
        self.flood.sum()
        self.events[0].record()
        step()
        self.events[1].record()
        synchronize(options)
        return self.events[0].elapsed_time(self.events[1])


def milliseconds(step, options, clock=wall_clock):
    """Times of step() by the clock."""
    for _ in range(WARM_UP):
        step()
    synchronize(options)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = []
    begin = time.perf_counter()
    while len(times) < (options.samples or 3) or (
        not options.samples and time.perf_counter() - begin < options.seconds
    ):
        times.append(clock(step, options))
    return times


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
        )


class Report:
    """Measures runs, prints a row for each and writes it at once: what was measured outlives a program that is
    stopped."""

    def __init__(self, options):
        self.options, self.begin, self.failures = options, time.monotonic(), 0
        self.machine = {"processor": processor()}
        if options.device == "cuda":
            self.machine["gpu"] = torch.cuda.get_device_name()
        self.file = (
            open(options.json, "w", encoding="utf-8") if options.json else None
        )  # pylint: disable=consider-using-with

    def combinations(self, numbers=None):
        """The options of each run: one precision and number of members, of those asked for or of `numbers`."""
        for precision in self.options.precision:
            use_precision(precision)
            for members in numbers or self.options.members:
                yield argparse.Namespace(**{**vars(self.options), "precision": precision, "members": members})

    def measure(self, options, work, variant, make_step, clock=wall_clock):
        """Measures make_step(options, variant), a function that does the work once. Other runs may still work where one
        does not."""
        run = {
            "program": f"PyTorch {torch.__version__}",
            "work": work,
            "variant": variant,
            "members": options.members,
            "batch": options.batch,
            "precision": options.precision,
            "device": options.device,
            "threads": torch.get_num_threads(),
        }
        if 0 < options.limit < time.monotonic() - self.begin:
            return self.add({**run, "missing": "no time left"})
        try:
            times = milliseconds(make_step(options, variant), options, clock)
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.failures += 1
            lines = str(error).strip().splitlines() or [""]
            return self.add({**run, "missing": f"{type(error).__name__}: {lines[0]}"})
        finally:
            if options.device == "cuda":
                torch.cuda.empty_cache()
        return self.add({**run, **figures(times, options), **self.machine})

    def add(self, run):
        result = run.get("missing") or f"{run['milliseconds']:9.3f} ms ({run['low']:.3f} to {run['high']:.3f})"
        print(f"{run['work']:14} {run['precision']:5} K {run['members']:2} {run['variant']:28} {result}", flush=True)
        if self.file:
            print(json.dumps(run), file=self.file, flush=True)

    def status(self):
        """The program's exit status: 1 if any run failed."""
        return int(self.failures > 0)


def figures(times, options):
    """What is told of the times of a run, and the memory it took."""
    spread = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    run = {
        "milliseconds": statistics.median(times),
        "low": spread[0],
        "high": spread[2],
        "samples": len(times),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    if options.device == "cuda":
        run["device_peak_mb"] = torch.cuda.max_memory_reserved() / 1e6
    return run
