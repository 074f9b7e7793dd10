"""Usage: pairs.py CIFAR|ENWIK8
Every two choices of the six that make a method, and of the step, go together or are refused in one line. What is
refused stands in the table below; whatever else goes. The language model, which starts sooner, takes all pairs that
both trainers have. Each choice alone and some pairs are trained as well; with LPW_TEST_LONG=1 each pair that goes is,
by either trainer."""

import itertools
import os

from trainer import NAME, check, main, make_text, run

LONG = os.environ.get("LPW_TEST_LONG", "") not in ("", "0")
MEMBERS = {"--members": 3, "--release-epoch": 2, "--late": "rank1"}
HELD_OUT = {"--held-out": 10 if NAME == "cifar" else 100}
OFTEN = {"--coupling-every": 2}  # members take few steps

# Each choice: what it sets.
CHOICES = {
    "one network": {"--members": 1},
    "release one": {"--members": 1, "--release-one": True},
    "batchnorm": {"--late": "batchnorm"},
    "templates": {"--model": "hyper-wrn-10-1", "--late": "templates"},
    "coefficients": {
        "--model": "hyper-wrn-10-1",
        "--late": "templates",
        "--coefficient-lr": 0.01,
        "--coefficient-weight-decay": 0.001,
        "--coefficient-schedule": "steps:1:0.5",
    },
    "rank1": {"--late": "rank1", "--rank1-start": "signs"},
    "additive": {"--late": "additive"},
    "all": {"--late": "all"},
    "at once": {"--release-epoch": 0},
    "redraw": {"--release-epoch": 0, "--release-start": "redraw", "--late": "head"},
    "deep ensemble": {"--late": "all", "--release-epoch": 0, "--release-start": "redraw", "--member-data": "whole"},
    "again": {"--release-every": 1},
    "same data": {"--member-data": "same"},
    "whole data": {"--member-data": "whole"},
    "pull": {"--coupling": "pull:0.1"} | OFTEN,
    "elastic": {"--coupling": "elastic"} | OFTEN,
    "swap": {"--coupling": "swap:0.1:states"} | OFTEN,
    "swa": {"--average": "swa", "--average-start": 1},
    "ema": {"--average": "ema:0.9"},
    "lawa": {"--average": "lawa:2"},
    "snapshots": {"--schedule": "cosine-cycles:1", "--snapshots": 2},
    "served snapshots": {"--schedule": "cosine-cycles:1", "--snapshots": 2, "--serve": "snapshots"},
    "best": HELD_OUT | {"--best": True},
    "parameters": {"--collapse": "parameters"},
    "greedy": HELD_OUT | {"--collapse": "greedy"},
    "fitted": HELD_OUT | {"--collapse": "fitted"},
    "convex": HELD_OUT | {"--collapse": "fitted:convex"},
    "line search": HELD_OUT | {"--line-search": 3},
    "ensemble": {"--serve": "ensemble"},
    "dropout": {"--dropout": 0.1, "--serve": "dropout:2"},
    "sam": {"--sam": 0.05},
    "late sam": {"--sam": 0.05, "--sam-weights": "late", "--sam-start": 2},
    "adam": {"--optimizer": "adam", "--lr": 0.001},
    "groups": {"--freeze": "*bias*", "--group": "*weight*:lr=0.001,schedule=cosine"},
}
OF_IMAGES = {"batchnorm", "templates", "coefficients"}
TRAINED = {("elastic", "snapshots"), ("elastic", "best"), ("all", "sam"), ("deep ensemble", "sam")}

# What is refused, and the reason in part. What is done with members is nothing for one network.
NO_MEMBERS = "one member has no weights of its own"
NO_OTHERS = "there is one member, without others"
CENTRE = "with an elastic centre all members end as that one network"
REFUSED = {
    ("one network", other): NO_MEMBERS
    for other in "rank1 redraw again pull elastic swap parameters greedy fitted convex".split()
    + ["deep ensemble", "same data", "whole data", "line search", "late sam"]
} | {
    ("release one", other): NO_OTHERS
    for other in "pull elastic swap parameters greedy fitted convex".split()
    + ["deep ensemble", "same data", "whole data", "line search"]
} | {
    ("one network", "ensemble"): "fewer than two members are released",
    ("release one", "ensemble"): "fewer than two members are released",
    ("coefficients", "again"): "no weights made of templates are left to release again",
    ("templates", "again"): "no weights made of templates are left to release again",
    ("redraw", "again"): "drawn anew do not go on from collapsed ones",
    ("deep ensemble", "again"): "drawn anew do not go on from collapsed ones",
    ("served snapshots", "best"): "--best leaves one plain network, and --serve snapshots is of several others",
    ("best", "ensemble"): "--best leaves one plain network, and --serve ensemble is of several others",
    ("elastic", "ensemble"): CENTRE,
    ("elastic", "greedy"): CENTRE,
    ("elastic", "fitted"): CENTRE,
    ("elastic", "convex"): CENTRE,
    ("elastic", "swa"): "either with the centre of elastic members or with averaged weights",
    ("elastic", "ema"): "either with the centre of elastic members or with averaged weights",
    ("elastic", "lawa"): "either with the centre of elastic members or with averaged weights",
}


def tiny(folder):
    both = "--epochs 4 --threads 1 --eval-every 100".split()
    if NAME == "cifar":
        return both + "--model wrn-10-1 --train-subset 40 --test-subset 10 --batch 5".split()
    (folder / "text").write_bytes(make_text(4000))
    small = "--hidden 8 --embedding 4 --bptt 5 --batch 4 --pre-batch 8 --lr 0.01".split()
    return both + small + ["--data", folder / "text"]


def command(first, second):
    """Of a pair; nothing where the two are alternatives: both set the same option, to something else."""
    one, other = CHOICES[first], CHOICES.get(second, {})
    if any(one[name] != other[name] for name in one if name in other):
        return None
    words = []
    for name, value in (MEMBERS | one | other).items():
        words += [name] if value is True else [name, value]
    return words


def pairs():
    """Those of this program."""
    for first, second in itertools.combinations(CHOICES, 2):
        of_images = bool({first, second} & OF_IMAGES)
        if of_images and NAME != "cifar" or not of_images and NAME == "cifar" and not LONG:
            continue
        if (arguments := command(first, second)) is not None:
            yield first, second, arguments


def each_choice_trains(folder):
    small = tiny(folder)
    for name in CHOICES:
        if (name in OF_IMAGES) == (NAME == "cifar"):
            done = run(*small, *command(name, None), "--out", folder / name)
            check(done.returncode == 0, f"{name}: {done.stderr}")


def every_pair(folder):
    wrong, small = [], tiny(folder)
    for first, second, arguments in pairs():
        plan = [] if LONG or (first, second) in TRAINED else ["--dry-run"]
        done = run(*small, *arguments, *plan, "--out", folder / f"{first}-{second}")
        reason = REFUSED.get((first, second))
        one_line = done.returncode in (1, 2) and done.stderr.count("\n") == 1
        if reason is None and done.returncode != 0:
            wrong.append(f"({first!r}, {second!r}): refused: {done.stderr.strip()}")
        elif reason is not None and not (one_line and reason in done.stderr):
            wrong.append(f"({first!r}, {second!r}): not refused by {reason!r}: {done.returncode} {done.stderr.strip()}")
    check(not wrong, "\n" + "\n".join(wrong))


main(each_choice_trains, every_pair)
