"""How the PyTorch peers measure: options, repetitions, peak memory, and the JSON that lpw's own benchmarks write too."""

import argparse
import importlib
import json
import platform
import resource
import statistics
import time

import torch


def parser(description):
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--threads", type=int, default=0, help="CPU threads; 0: PyTorch's choice")
    options.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    options.add_argument("--members", type=int, default=10)
    options.add_argument("--samples", type=int, default=0, help="measurements; 0: what --seconds holds, at least 3")
    options.add_argument("--steps", type=int, default=1, help="steps in a measurement")
    options.add_argument("--seconds", type=float, default=5, help="time for measuring a run")
    options.add_argument("--json", help="also write the results to this file")
    return options


def prepare(options):
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU that PyTorch can use")
    tf32 = options.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)


def autocast(options):
    return torch.autocast(options.device, torch.bfloat16, enabled=options.precision == "bf16")


def compiled(function, options):
    """torch.compile, which compiles a network anew for every member whose modules it selects by number."""
    config = importlib.import_module("torch._dynamo").config
    for name in ("recompile_limit", "cache_size_limit"):  # the latter before PyTorch 2.6
        if hasattr(config, name):
            setattr(config, name, 2 * options.members + 8)
            break
    return torch.compile(function, dynamic=False)


def synchronize(options):
    if options.device == "cuda":
        torch.cuda.synchronize()


def milliseconds(step, options, warm_up=3):
    """Times of step(): each the mean of options.steps calls, after which the device is waited for."""
    for _ in range(warm_up):
        step()
    synchronize(options)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = []
    begin = time.perf_counter()
    while len(times) < (options.samples or 3) or (not options.samples and time.perf_counter() - begin < options.seconds):
        start = time.perf_counter()
        for _ in range(options.steps):
            step()
        synchronize(options)
        times.append((time.perf_counter() - start) * 1e3 / options.steps)
    return times


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def record(options, work, variant, times, **more):
    """A run as StepReport in step_program.hpp writes it."""
    spread = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    run = {
        "program": f"PyTorch {torch.__version__}",
        "work": work,
        "variant": variant,
        "members": options.members,
        "precision": options.precision,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "milliseconds": statistics.median(times),
        "low": spread[0],
        "high": spread[2],
        "samples": len(times),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        **more,
    }
    if options.device == "cuda":
        run["device_peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    print(f"{work:14} {options.precision:5} K {options.members:2} {variant:28} {run['milliseconds']:9.3f} ms"
          f" ({run['low']:.3f} to {run['high']:.3f})", flush=True)
    return run


def write(options, runs):
    if options.json:
        gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "processor": processor(), "gpu": gpu, "runs": runs}, file, indent=1)
