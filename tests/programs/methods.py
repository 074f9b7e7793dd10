"""Usage: methods.py CIFAR|ENWIK8 FOLDER
Each method of examples/configs/methods trains for some steps, and goes on with the same bits when it was killed. One
moment each, or with LPW_TEST_LONG=1 ten."""

import os
import pathlib
import random
import sys
import time

from trainer import NAME, check, check_same, main, make_text, results, run, start, summary, train

FILES = sorted(pathlib.Path(sys.argv[2]).glob("*.toml"))
MOMENTS = 10 if os.environ.get("LPW_TEST_LONG", "") not in ("", "0") else 1
METHODS = {path.stem for path in FILES}

# What methods serve, where that is not the collapsed network, and how many samples go backward, beside SGD's.
SERVED = {
    "batch-ensemble": "ensemble",
    "deep-ensemble": "ensemble",
    "tree-net": "ensemble",
    "snapshot-ensemble": "snapshots",
    "fast-geometric-ensemble": "snapshots",
    "mc-dropout": "dropout_10",
}
COSTS = {"swa": 1, "late-phase": 1, "lookaround": 1, "batch-ensemble": 4, "deep-ensemble": 4, "papa": 3.7} | {
    "sam": 2,
    "late-sam": 1.2,
    "late-phase-sam": 1.4,
}
OF_IMAGES = {"late-phase", "late-phase-swa", "late-phase-sam", "late-phase-templates", "tree-net"}
EVERY_STEP = ["--checkpoint-minutes", "0.000001", "--threads", "1", "--eval-every", "100"]
random.seed(20260503)


def arguments(path, folder):
    if NAME == "cifar":
        model = "hyper-wrn-10-1" if path.stem == "late-phase-templates" else "wrn-10-1"
        rest = ["--model", model, "--train-subset", 40, "--test-subset", 10, "--batch", 5]
    else:
        text = folder / "text"
        text.write_bytes(make_text(6000))
        rest = ["--data", text] + "--hidden 16 --embedding 8 --bptt 10 --batch 5 --pre-batch 10 --lr 0.01".split()
    return ["--config", path, *rest, *EVERY_STEP]


def goes_on(path, folder, expected, seconds):
    """Kills a run at random moments after its first checkpoint, each of which is resumed to the end."""
    for moment in range(MOMENTS):
        out, delay = folder / f"{path.stem}-{moment}", random.uniform(0, 0.7) * seconds
        process = start(*arguments(path, folder), "--out", out)
        while not (out / "checkpoint.lpw").exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        process.kill()
        process.communicate()
        check((out / "checkpoint.lpw").exists(), f"{path.stem}: killed before its first checkpoint")
        done = run(*arguments(path, folder), "--out", out, "--resume")
        check(done.returncode == 0, f"{path.stem}: --resume exits with {done.returncode}: {done.stderr}")
        check_same(out, expected, f"{path.stem}, killed {delay:.2f} of {seconds:.2f} s after its first checkpoint")


def each_method(folder):
    found = {}
    check(set(SERVED) | OF_IMAGES <= METHODS, f"no file for {(set(SERVED) | OF_IMAGES) - METHODS}")
    for path in FILES:
        if NAME != "cifar" and path.stem in OF_IMAGES:
            continue
        out = folder / path.stem
        _, seconds = train(out, *arguments(path, folder))
        expected = results(out)
        found[path.stem] = summary(out)
        served = found[path.stem]["served"]
        check(served == SERVED.get(path.stem, "collapsed"), f"{path.stem} serves {served}")
        goes_on(path, folder, expected, seconds)
    if NAME == "cifar":
        check_costs({method: run["samples_backward"] for method, run in found.items()})


def commands_name_their_files(folder):
    for path in FILES:
        check(f"--config examples/configs/methods/{path.name} " in path.read_text(), f"{path.name}: another's command")


def check_costs(backward):
    """Samples that go backward, relative to those of SGD."""
    check(backward["sgd"] == 10 * 40, f"SGD: {backward['sgd']}")
    for method, times in COSTS.items():
        check(backward[method] == times * backward["sgd"], f"{method}: {backward[method]} samples go backward")


main(each_method, commands_name_their_files)
