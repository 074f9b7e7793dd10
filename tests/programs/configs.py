"""Usage: configs.py CIFAR FOLDER
The configurations of the published runs are read as what they say they are, without training for weeks. What the paper
and its authors' files say stands here a second time, run by run."""

import pathlib
import re
import sys

from trainer import check, main, run

FILES = sorted(pathlib.Path(sys.argv[2]).glob("cifar*.toml"))
ELSEWHERE = [
    "--data",
    "synthetic",
    "--dataset",
    "cifar10",
    "--model",
    "wrn-10-1",
    "--dry-run",
]  # their data and size are not for tests


# epochs, learning rate by epoch, epochs before averaging and before release, side of cutout
RUNS = {
    "sgd": (200, "anneal:100:180:0.001", None, 120, 0),
    "swa": (200, "anneal:80:144:0.05", 160, 100, 0),
    "wide": (300, "anneal:80:240:0.05", 240, 120, 16),
}
ACCURACIES = {
    "cifar10-wrn-28-10-sgd": "96.16 ± 0.12",
    "cifar10-wrn-28-10-late-phase": "96.46 ± 0.15",
    "cifar10-wrn-28-10-swa": "96.48 ± 0.04",
    "cifar10-wrn-28-10-late-phase-swa": "96.81 ± 0.07",
    "cifar100-wrn-28-10-sgd": "81.35 ± 0.16",
    "cifar100-wrn-28-10-late-phase": "82.87 ± 0.22",
    "cifar100-wrn-28-10-swa": "82.46 ± 0.09",
    "cifar100-wrn-28-10-late-phase-swa": "83.06 ± 0.08",
    "cifar100-hyper-wrn-28-10-late-phase": "81.55",
    "cifar100-hyper-wrn-28-10-late-phase-swa": "82.01",
    "cifar10-wrn-28-14-late-phase-swa": "97.45 ± 0.10",
    "cifar100-wrn-28-14-late-phase-swa": "85.00 ± 0.25",
}


def each_file(folder):
    check({path.stem for path in FILES} == set(ACCURACIES), f"found {FILES}")
    for path in FILES:
        text = path.read_text()
        data, model = re.match(r"(cifar100?)-((?:hyper-)?wrn-28-1[04])", path.stem).groups()
        swa, late, wide = "swa" in path.stem, "late-phase" in path.stem, model == "wrn-28-14"
        epochs, schedule, averaging, release, cutout = RUNS["wide" if wide else "swa" if swa else "sgd"]
        check(
            f'dataset = "{data}"' in text and f'model = "{model}"' in text,
            f"{path.name} is for another data set or model",
        )
        check(
            f"--config examples/configs/{path.name}" in text and f"download_data.sh {data} DIR" in text,
            f"{path.name}: command of another",
        )
        check(f"published test accuracy {ACCURACIES[path.stem]} %" in text, f"{path.name}: not the published figure")
        done = run("--config", path, *ELSEWHERE, *["--model", "hyper-wrn-10-1"][: 2 * model.startswith("hyper")])
        check(done.returncode == 0, f"{path.name}: {done.stderr}")
        plan = (
            f"after {release} of {epochs} epochs 10 members, each on minibatches of its own: 10 x 128"
            if late
            else "there is 1 member"
        )
        check(plan in done.stdout, f"{path.name}: plan is not {plan!r}:\n{done.stdout}")
        hyper = model.startswith("hyper")
        decay = "0" if hyper else "0.005" if data == "cifar100" and not swa else "-1"
        of_members = [
            'late = [ "templates" ]' if hyper else 'late = [ "batchnorm", "head" ]',
            "late-lr = -1",
            f"late-weight-decay = {decay}",
            "sigma = 0",
            'base-gradient = "sum"',
        ]
        for line in [
            f"epochs = {epochs}",
            "batch = 128",
            "lr = 0.1",
            'optimizer = "sgd"',
            "momentum = 0.9",
            "weight-decay = 5e-04",
            "clip = 0",
            "label-smoothing = 0",
            "dropout = 0",
            'augment = "standard"',
            f"cutout = {cutout}",
            f'schedule = "{schedule}"',
            'average = "swa"' if swa else 'average = "none"',
        ] + [f"average-start = {averaging}"] * swa + late * of_members:
            check(f"\n{line}\n" in done.stdout, f"{path.name}: no {line} in\n{done.stdout}")


main(each_file)
