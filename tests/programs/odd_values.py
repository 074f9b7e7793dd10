"""Usage: odd_values.py PROGRAM
Every option that --help lists with values that nobody means: each is refused in one line that names it, its limits and
the value, or taken for what it says; never by a crash, in silence, or as another number. On the command line and in
files. A part of the values for each option; with LPW_TEST_LONG=1 all of them, half a minute for a trainer that need not
load CUDA's libraries."""

import json
import os
import random
import re

from trainer import NAME, check, main, refused, run

LONG = os.environ.get("LPW_TEST_LONG", "") not in ("", "0")
random.seed(20210503)

MOST = 10**12
INT, UINT, FLOAT = r"\+?\d+|-\d+", r"\+?\d+", r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
TINIEST = 2.2250738585072014e-308
COUNT, FROM_ONE, OR_NOT = (INT, 0, MOST, None), (INT, 1, MOST, None), (INT, 0, MOST, -1)
AMOUNT, ABOVE_ZERO, AMOUNT_OR_NOT = (FLOAT, 0, MOST, None), (FLOAT, TINIEST, MOST, None), (FLOAT, 0, MOST, -1)
OF_TRAINERS = {  # form, lowest, highest, and another that stands for something else
    "epochs": FROM_ONE,
    "batch": FROM_ONE,
    "members": FROM_ONE,
    "release-epoch": COUNT,
    "release-step": OR_NOT,
    "average-start": COUNT,
    "average-every": FROM_ONE,
    "snapshots": COUNT,
    "member-chunk": COUNT,
    "eval-every": FROM_ONE,
    "seed": (UINT, 0, 2**64 - 1, None),
    "threads": (INT, 0, 4096, None),
    "sum-chunk": (INT, 0, 2**28, None),
    "lr": ABOVE_ZERO,
    "late-lr": AMOUNT_OR_NOT,
    "momentum": (FLOAT, 0, 0.999999, None),
    "weight-decay": AMOUNT,
    "late-weight-decay": AMOUNT_OR_NOT,
    "clip": AMOUNT,
    "dropout": (FLOAT, 0, 0.999, None),
    "sigma": AMOUNT,
    "release-every": COUNT,
    "coupling-every": FROM_ONE,
    "sam": AMOUNT,
    "sam-start": COUNT,
    "checkpoint-minutes": ABOVE_ZERO,
    "line-search": (INT, 2, 10**6, 0),
    "patience": COUNT,
}
CHOICES_OF_TRAINERS = {"optimizer", "base-gradient", "release-momentum", "average-by", "precision", "device"} | {
    "collapse",
    "factor-decay",
    "elastic-served",
    "member-data",
    "release-start",
    "sam-weights",
}
TEXTS_OF_TRAINERS = {"late", "average", "schedule", "late-schedule", "rank1-start", "coupling", "serve"} | {
    "freeze",
    "group",
}
OF_CIFAR = {
    "coefficient-lr": AMOUNT_OR_NOT,
    "coefficient-weight-decay": AMOUNT_OR_NOT,
    "label-smoothing": (FLOAT, 0, 0.999, None),
    "cutout": (INT, 0, 32, None),
    "train-subset": COUNT,
    "test-subset": COUNT,
    "held-out": COUNT,
    "image-size": (INT, 8, 4096, None),
    "resize": (INT, 8, 8192, 0),
    "crop-area": (FLOAT, 0.001, 1, None),
    "split": (FLOAT, 0.001, 0.999, None),
    "split-seed": (UINT, 0, 2**64 - 1, None),
}
OF_ENWIK8 = {
    "held-out": COUNT,
    "hidden": (INT, 1, 10**5, None),
    "layers": (INT, 1, 1000, None),
    "embedding": (INT, 1, 10**5, None),
    "bptt": (INT, 1, 10**6, None),
    "sample": (INT, 0, 10**9, None),
    "temperature": AMOUNT,
}
OF_QUADRATIC = {
    "dimensions": (INT, 1, 10**7, None),
    "noise": ABOVE_ZERO,
    "start": (FLOAT, -MOST, MOST, None),
    "samples": (INT, 1, 10**7, None),
    "lr": ABOVE_ZERO,
    "average-start": OR_NOT,
    "average-every": FROM_ONE,
    "ema-decay": (FLOAT, 0, 0.999999, None),
    "members": (INT, 1, 10**5, None),
    "release": COUNT,
    "late-lr": AMOUNT_OR_NOT,
    "sigma": AMOUNT,
    "repeats": (INT, 2, 10**6, None),
    "records": (INT, 1, 10**5, None),
    "steady-iterations": (INT, 0, 10**6, None),
    "seed": (UINT, 0, 2**64 - 1, None),
    "threads": (INT, 0, 4096, None),
}
OF_EVALUATE = {
    "image-size": (INT, 0, 4096, None),
    "resize": (INT, 0, 8192, None),
    "test-subset": COUNT,
    "train-subset": OR_NOT,
    "held-out": OR_NOT,
    "unseen": COUNT,
    "corrupted": COUNT,
    "batch": FROM_ONE,
    "seed": (UINT, 0, 2**64 - 1, None),
    "threads": (INT, 0, 4096, None),
}
TRAINER = NAME in ("cifar", "enwik8")
NUMBERS = {
    "cifar": OF_TRAINERS | OF_CIFAR,
    "enwik8": OF_TRAINERS | OF_ENWIK8,
    "noisy_quadratic": OF_QUADRATIC,
    "evaluate": OF_EVALUATE,
}[NAME]
CHOICES = {
    "cifar": {"dataset", "augment", "convolution", "statistics", "damaged"},
    "evaluate": {"take", "dataset", "damaged", "device", "precision", "convolution"},
    "enwik8": set(),
    "noisy_quadratic": set(),
}[NAME] | (CHOICES_OF_TRAINERS if TRAINER else set())
TEXTS = {
    "cifar": {"model", "coefficient-schedule", "normalization"},
    "evaluate": {"ood"},
    "enwik8": {"split", "pre-batch"},
    "noisy_quadratic": {"schedule", "steady-members"},
}[NAME] | (TEXTS_OF_TRAINERS if TRAINER else set())
NAMES = {
    "cifar": {"data", "export", "init", "config", "out", "eval"},
    "enwik8": {"data", "export", "init", "config", "out", "eval", "valid", "test"},
    "noisy_quadratic": {"out"},
    "evaluate": {"network", "data", "test", "corruptions", "reference", "out", "export", "model"},
}[NAME]
FLAGS = (
    {"resume", "dry-run", "deterministic", "convert", "sam-adaptive", "best", "tensorboard", "release-one"}
    | {"eval-ensemble"}
    if TRAINER
    else set()
) | {"enwik8": {"embedding-factors"}, "evaluate": {"convert", "deterministic"}}.get(NAME, set())
ON_THE_COMMAND_LINE = {"config", "export", "out", "eval", "resume", "dry-run"} if TRAINER else set()

ODD_NUMBERS = [
    "",
    " ",
    "0",
    "1",
    "2",
    "-1",
    "-2",
    "-0",
    "007",
    "010",
    "08",
    "+3",
    "++3",
    "+-3",
    "--3",
    "0x10",
    "0b1",
    "0o7",
    "1_000",
    "1'000",
    "1,5",
    "1.5",
    "1.",
    ".5",
    ".",
    "1e3",
    "1e-3",
    "1e",
    "1e400",
    "-1e400",
    "nan",
    "NaN",
    "-nan",
    "inf",
    "-inf",
    "infinity",
    "9" * 25,
    "-" + "9" * 25,
    str(2**31),
    str(2**32),
    str(2**63 - 1),
    str(2**63),
    str(2**64 - 1),
    str(2**64),
    str(MOST),
    str(MOST + 1),
    "1e12",
    "1.1e12",
    " 5",
    "5 ",
    "5x",
    "x5",
    "5%",
    "5\n",
    "5\x1b[0m",
    "5\t6",
    "\u0663",
    "\u00bd",
    "\uff15",
    "[5]",
    "[1,2]",
    "{5}",
    "{}",
    "'5'",
    '"5"',
    "true",
    "none",
    "-",
    "%s%n",
]
ODD_TEXTS = [
    "",
    " ",
    ",",
    ":",
    "none,none",
    "a\nb",
    "\x1b[2J\x07",
    "\udcff\udcfe",
    "\u202e",
    "x" * 5000,
    "[x]",
    "[]",
    "{}",
    "%s%n",
    "0",
    "-1",
    "nan",
    "SGD",
    "Ü",
]
ODD_FLAGS = ["5x", "5", "0", "-1", "yes", "TRUE", "", "2\x1b[0m"]


def drawn(values, count):
    return values if LONG else random.sample(values, min(count, len(values)))


def toml_value(text):
    """The value of a bare word in a file, as the program shows it; nothing for what is no TOML."""
    if re.fullmatch(
        r"[+-]?0|[+-]?[1-9](_?\d)*|0x[0-9a-fA-F](_?[0-9a-fA-F])*|0o[0-7](_?[0-7])*|0b[01](_?[01])*", text, re.ASCII
    ):
        value = int(text, 0)
        return str(value) if -(2**63) <= value < 2**63 else text if re.fullmatch(r"\d{19,}", text) else None
    if re.fullmatch(r"[+-]?(0|[1-9](_?\d)*)(\.\d(_?\d)*)?([eE][+-]?\d(_?\d)*)?", text, re.ASCII):
        return repr(float(text)) if abs(float(text)) < float("inf") else None
    return text if text in ("true", "false") or re.fullmatch(r"[+-]?(inf|nan)", text) else None


def allowed(text, form, low, high, instead):
    if not re.fullmatch(form, text, re.ASCII):
        return False
    value = float(text) if form == FLOAT else int(text)
    return low <= value <= high or value == instead


def outcome(folder, name, text, in_file, bare=False):
    """What the program says of an option's value, which stands in a file in quotes or bare. It ends where data is read
    that is not there, or where results have no place."""
    missing = ["--data", folder / "missing"] if TRAINER else ["--out", "/dev/null/below"]
    if NAME == "evaluate":
        missing = ["--network", folder / "missing"]
    if name in missing[0]:
        missing = []
    if not in_file:
        return refused(*missing, f"--{name}={text}" if text else f"--{name}", *([] if text else [""]))
    shown = text if bare else json.dumps(text, ensure_ascii=False)
    shown = re.sub(r"[\x7f]", lambda c: f"\\u{ord(c[0]):04x}", shown)
    (folder / "config.toml").write_bytes(f"{name} = {shown}\n".encode(errors="surrogateescape"))
    return refused(*missing, "--config", folder / "config.toml")


def check_numbers(folder):
    for name, limits in NUMBERS.items():
        for text in drawn(ODD_NUMBERS, 8):
            for in_file in [False, True] if LONG and TRAINER else [TRAINER and random.random() < 0.3]:
                bare = in_file and random.random() < 0.5 and re.fullmatch(r"[\w.+-]+", text, re.ASCII) is not None
                said, what = (
                    outcome(folder, name, text, in_file, bare),
                    f"{name} = {text!r} {'in a file' if in_file else ''}",
                )
                complaint = f"--{name}: expected a {'' if limits[0] == FLOAT else 'whole '}number "
                if bare and toml_value(text) is None:
                    check(
                        "config.toml:1: " in said and "the value a decimal number" in said and complaint not in said,
                        f"{what}: {said}",
                    )
                    continue
                text = toml_value(text) if bare else text
                check((complaint in said) != allowed(text, *limits), f"{what}: {said}")
                highest = f"{limits[2]:g}" if limits[0] == FLOAT else str(limits[2])
                check(
                    complaint not in said or (highest in said and "found" in said),
                    f"{what}: limits or value are not named: {said}",
                )
                check(in_file == ("config.toml:1: " in said) or complaint not in said, f"{what}: {said}")


def check_texts(folder):
    for name in sorted(CHOICES | TEXTS):
        for text in drawn(ODD_TEXTS, 5):
            in_file = TRAINER and "\udcff" not in text and random.random() < 0.3
            said = outcome(folder, name, text, in_file)
            if text == "" and name == "late-schedule":
                continue  # the schedule of the other weights
            if name in ("late", "freeze") and re.fullmatch(r"[A-Za-z0-9_.*,-]*[A-Za-z0-9_.*-]", text):
                continue  # it may be the name of a parameter, which the network will tell
            shown = ["--late-schedule", "--schedule"] if name == "late-schedule" else [f"--{name}"]
            check(any(option in said for option in shown), f"{name} = {text!r}: {said}")


def check_names(folder):
    os.chdir(folder)  # some make a folder of any name
    for name in sorted(NAMES - ({"data"} if TRAINER else {"model"})):
        # What is a folder's name for results is one.
        for text in (drawn(ODD_TEXTS, 3) if NAME != "noisy_quadratic" else [""]) + ["--seed"]:
            said = outcome(folder, name, text, False)
            complaint = f"--{name}: expected a name"
            complains = name == "export" or text in ("", "--seed")  # its name says what it is of
            check((complaint in said) == complains, f"{name} = {text!r}: {said}")


def check_flags(folder):
    for name in sorted(FLAGS):
        for text in drawn(ODD_FLAGS, 4):
            if text == "":
                continue  # --flag= is --flag
            said = refused("--data", folder / "missing", "--out", folder / "out", f"--{name}={text}")
            check(f"--{name}: expected true or false, found {text[0]}" in said, f"{name} = {text!r}: {said}")


def files_hold_no_commands(folder):
    for name in sorted(ON_THE_COMMAND_LINE):
        check("command line" in outcome(folder, name, "true", True), name)


def every_option_is_here(folder):
    """A new option is to be added to the tables above."""
    listed = set(re.findall(r"^ +(?:-h,)?--([a-z0-9-]+)", run("--help").stdout, re.MULTILINE)) - {"help"}
    known = set(NUMBERS) | CHOICES | TEXTS | NAMES | FLAGS
    check(listed == known, f"of --help and these tables only one has {sorted(listed ^ known)}")


main(every_option_is_here, check_numbers, check_texts, check_names, check_flags, files_hold_no_commands)
