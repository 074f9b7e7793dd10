"""Usage: pairs.py CIFAR
Every two choices of the six that make a method, and of the step, go together or are refused in one line. What is
refused stands in the table below; whatever else goes. With LPW_TEST_LONG=1 each pair that goes is trained as well."""

import itertools
import os

from trainer import check, main, run

LONG = os.environ.get("LPW_TEST_LONG", "") not in ("", "0")
TINY = "--model wrn-10-1 --train-subset 40 --test-subset 10 --batch 5 --epochs 4 --threads 1 --eval-every 100".split()
MEMBERS = {"--members": 3, "--release-epoch": 2}

# Each choice: what it sets, where later ones of a pair go before.
CHOICES = {
    "one network": {"--members": 1},
    "batchnorm": {"--late": "batchnorm"},
    "rank1": {"--late": "rank1", "--rank1-start": "signs"},
    "templates": {"--model": "hyper-wrn-10-1", "--late": "templates"},
    "additive": {"--late": "additive"},
    "all": {"--late": "all"},
    "at once": {"--release-epoch": 0},
    "redraw": {"--release-epoch": 0, "--release-start": "redraw"},
    "again": {"--release-every": 1},
    "same data": {"--member-data": "same"},
    "whole data": {"--member-data": "whole"},
    "pull": {"--coupling": "pull:0.1"},
    "elastic": {"--coupling": "elastic"},
    "swap": {"--coupling": "swap:0.1:states"},
    "swa": {"--average": "swa", "--average-start": 1},
    "ema": {"--average": "ema:0.9"},
    "lawa": {"--average": "lawa:2"},
    "snapshots": {"--schedule": "cosine-cycles:1", "--snapshots": 2},
    "best": {"--held-out": 10, "--best": True},
    "parameters": {"--collapse": "parameters"},
    "greedy": {"--held-out": 10, "--collapse": "greedy"},
    "fitted": {"--held-out": 10, "--collapse": "fitted"},
    "ensemble": {"--serve": "ensemble"},
    "dropout": {"--dropout": 0.1, "--serve": "dropout:2"},
    "sam": {"--sam": 0.05},
    "late sam": {"--sam": 0.05, "--sam-weights": "late", "--sam-start": 2},
    "adam": {"--optimizer": "adam", "--lr": 0.001},
}

# What is refused, and a word of the reason.
REFUSED = {}


def command(first, second):
    """Of a pair; nothing where both set the same option, so that they are alternatives."""
    set_by = [CHOICES[first], CHOICES[second]]
    shared = {name for name in set_by[0] if name in set_by[1]}
    if any(set_by[0][name] != set_by[1][name] for name in shared):
        return None
    options = MEMBERS | set_by[0] | set_by[1]
    words = []
    for name, value in options.items():
        words += [name] if value is True else [name, value]
    return TINY + words


def every_pair(folder):
    wrong = []
    for first, second in itertools.combinations(CHOICES, 2):
        arguments = command(first, second)
        if arguments is None:
            continue
        done = run(*arguments, *([] if LONG else ["--dry-run"]), "--out", folder / f"{first}-{second}")
        reason = REFUSED.get((first, second))
        one_line = done.returncode in (1, 2) and done.stderr.count("\n") == 1
        if reason is None and done.returncode != 0:
            wrong.append(f"({first!r}, {second!r}): refused: {done.stderr.strip()}")
        elif reason is not None and not (one_line and reason in done.stderr):
            wrong.append(f"({first!r}, {second!r}): not refused by {reason!r}: {done.returncode} {done.stderr.strip()}")
    check(not wrong, "\n" + "\n".join(wrong))


main(every_pair)
