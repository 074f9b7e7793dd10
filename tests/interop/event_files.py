"""Usage: event_files.py CIFAR
What --tensorboard writes is what TensorBoard reads: each step and each epoch once, of a run that went on and of one
that went on from an older checkpoint than its events. Needs Python's tensorboard; without it the test is skipped."""

import csv
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

RUN = (
    "--data synthetic --model wrn-10-1 --train-subset 60 --test-subset 20 --batch 10 --members 2 --release-epoch 1 "
    "--schedule constant --lr 0.01 --threads 1 --tensorboard"
).split()


def train(folder, *arguments):
    command = [sys.argv[1], *RUN, "--out", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def check(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2, rows
    steps = [scalar.step for scalar in events.Scalars("step/loss")]
    assert steps == list(range(1, 6 + 3 + 1)), steps  # 6 iterations, and 3 of two members
    epochs = [6, 9]
    for tag, column in [
        ("train_loss", "train_loss"),
        ("train_accuracy", "train_accuracy"),
        ("test_accuracy", "test_accuracy"),
        ("samples_forward", "samples_forward"),
        ("parameters_trained", "parameters_trained"),
        ("parameters_served", "parameters_served"),
    ]:
        found = events.Scalars(f"epoch/{tag}")
        assert [scalar.step for scalar in found] == epochs, (tag, found)
        for scalar, row in zip(found, rows):  # floats in the events, nine digits in the table
            value = float(row[column])
            assert abs(scalar.value - value) <= 1e-6 * (1 + abs(value)), (tag, scalar, row)
    mean = sum(scalar.value for scalar in events.Scalars("step/loss")[:6]) / 6
    assert abs(mean - float(rows[0]["train_loss"])) < 1e-5, (mean, rows[0])
    assert [scalar.step for scalar in events.Scalars("step/late_learning_rate")] == [7, 8, 9]


with tempfile.TemporaryDirectory(prefix="lpw-") as name:
    folder = pathlib.Path(name) / "run"
    train(folder, "--epochs", "1")
    older = pathlib.Path(name) / "checkpoint.lpw"
    shutil.copy(folder / "checkpoint.lpw", older)
    train(folder, "--epochs", "2", "--resume")
    check(folder)
    shutil.copy(older, folder / "checkpoint.lpw")
    train(folder, "--epochs", "2", "--resume")
    assert len(list(folder.glob("events.out.tfevents.*"))) == 3
    check(folder)
print("passed")
