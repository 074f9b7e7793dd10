"""Checks schedules by iteration, averages over time and recomputed statistics against torch.optim.lr_scheduler and
torch.optim.swa_utils.

  training.py PROGRAM   PROGRAM is made from training.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import torch
    from safetensors.torch import load_file
    from torch.optim import lr_scheduler, swa_utils
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

RATE = 0.1


def close(name, found, expected, tolerance):
    """Whether both are the same but for rounding; NaN is not."""
    if found.shape != expected.shape:
        sys.exit(f"training: {name} is {tuple(found.shape)}, in PyTorch {tuple(expected.shape)}")
    worst = (found - expected).abs().max().item()
    if not worst <= tolerance:
        sys.exit(f"training: {name} differs by {worst} from PyTorch's, expected at most {tolerance}")
    print(f"{name}: {found.numel()} numbers, at most {worst:.1e} apart")


def rates(make, steps):
    """The factors of PyTorch's schedule at the first steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = make(optimizer)
    result = []
    for step in range(steps):
        result.append(optimizer.param_groups[0]["lr"] / RATE)
        if step + 1 < steps:
            optimizer.step()
            schedule.step()
    return torch.tensor(result, dtype=torch.float64)


def one_cycle(**form):
    return lambda optimizer: lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=RATE,
        total_steps=50,
        pct_start=0.3,
        cycle_momentum=False,
        div_factor=25,
        final_div_factor=1e4,
        **form,
    )


def warm_restarts(optimizer):
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=12, eta_min=0.01)


def check_schedules(tensors):
    expected = {
        "iterations:one-cycle:50:15:0.004:4e-07": one_cycle(),
        "iterations:one-cycle:50:15:0.004:4e-07:linear": one_cycle(anneal_strategy="linear"),
        "iterations:cosine-cycles:12:0.01": warm_restarts,
        "iterations:warmup:5": lambda o: lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=4),
        "iterations:cosine:60": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=60),
        "iterations:steps:10,30:0.1": lambda o: lr_scheduler.MultiStepLR(o, [10, 30]),
        "iterations:warmup:5/cosine-cycles:12:0.01": lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=4), warm_restarts(o)], [5]
        ),
    }
    for text, make in expected.items():
        steps = 50 if "one-cycle" in text else len(tensors[text])  # OneCycleLR refuses more
        # PyTorch's recursions round once or twice a step.
        close(text, tensors[text][:steps], rates(make, steps), 1e-13)
    # PyTorch's cycle begins with the first rate, and Garipov's with the step after it.
    text = "iterations:triangular-cycles:10:0.1:0.01"
    cyclic = rates(
        lambda o: lr_scheduler.CyclicLR(o, base_lr=RATE, max_lr=0.01, step_size_up=5, cycle_momentum=False),
        len(tensors[text]) + 1,
    )
    close(text, tensors[text], cyclic[1:], 1e-13)


def check_averages(tensors):
    weights = tensors["weights"]
    model = torch.nn.Linear(1, weights.shape[1], bias=False, dtype=torch.float64)
    averages = {
        "swa": swa_utils.AveragedModel(model),
        "ema": swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9)),
    }
    found = {name: [] for name in averages}
    for row in weights:
        with torch.no_grad():
            model.weight.copy_(row[:, None])
        for name, average in averages.items():
            average.update_parameters(model)
            found[name].append(average.module.weight.detach()[:, 0].clone())
    for name, rows in found.items():
        # Twenty updates of numbers of a few, a rounding or two each.
        close(name, tensors[name], torch.stack(rows), 1e-14)


def check_statistics(tensors):
    """lpw's are those of all samples at once; PyTorch's variances of several minibatches are the mean of theirs, with
    Bessel's correction, so that only the means can be compared there."""
    batches = tensors["batches"]
    count = batches.shape[0] * batches.shape[1]

    def updated(loader):
        norm = torch.nn.BatchNorm1d(batches.shape[2], dtype=torch.float64)
        swa_utils.update_bn(loader, norm)
        return norm

    several, at_once = updated(list(batches)), updated([batches.reshape(count, -1)])
    close("running_mean of five minibatches", tensors["running_mean"], several.running_mean, 1e-15)
    close("running_mean", tensors["running_mean"], at_once.running_mean, 1e-15)
    close("running_var", tensors["running_var"], at_once.running_var * (count - 1) / count, 1e-14)


def main(program):
    warnings.filterwarnings("ignore", message=".*scheduler.*")  # of SequentialLR's own calls
    with tempfile.TemporaryDirectory(prefix="lpw-") as name:
        out = pathlib.Path(name) / "out"
        subprocess.run([program, out], check=True)
        tensors = load_file(out)
    check_schedules(tensors)
    check_averages(tensors)
    check_statistics(tensors)


if __name__ == "__main__":
    main(*sys.argv[1:])
