"""A study as its file describes it: a program, a common budget, methods, seeds, and trials on held-out data; from these
the runs that there are to be, each with its options."""

import dataclasses
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("cifar", "enwik8")
PATHS = ("data", "valid", "test", "init")  # options that name a file or folder: where it lies changes no result
MACHINE = ("threads", "checkpoint-minutes", "tensorboard")  # which change no result either
SCORES = {"cifar": ("valid_accuracy", "valid_nll"), "enwik8": ("valid_bpc",)}  # of held-out data; the first chooses


class Refused(Exception):
    """A study that cannot be run, or runs that are not its own: one line that says why."""


def require(condition, *message):
    if not condition:
        raise Refused("".join(map(str, message)))


@dataclasses.dataclass(frozen=True)
class Tuning:
    seeds: list
    score: str  # of summary.json, without _served
    options: dict  # of each trial, before what its method and it say

    @property
    def higher_is_better(self):
        return self.score.endswith("accuracy")


@dataclasses.dataclass(frozen=True)
class Method:
    name: str
    title: str
    options: dict
    trials: list  # of options each


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: of a method with a seed, or with a trial's options (`trial` counts from 1)."""

    method: str
    seed: int
    options: dict
    trial: int = 0

    @property
    def name(self):
        return f"trial-{self.trial}-seed-{self.seed}" if self.trial else f"seed-{self.seed}"

    def __str__(self):
        return (
            f"{self.method}, trial {self.trial}, seed {self.seed}" if self.trial else f"{self.method}, seed {self.seed}"
        )


@dataclasses.dataclass(frozen=True)
class Study:
    path: pathlib.Path
    title: str
    program: str
    baseline: str
    seeds: list
    methods: dict
    tuning: Tuning | None
    where: dict  # paths that the caller gives in place of the file's

    @property
    def name(self):
        return self.path.stem

    def trials(self, method):
        """The runs that choose among a method's trials, trial by trial."""
        if self.tuning is None:
            return []
        return [
            [
                Run(method.name, seed, self._trial_options(method, trial) | {"seed": seed}, i)
                for seed in self.tuning.seeds
            ]
            for i, trial in enumerate(method.trials, 1)
        ]

    def runs(self, method, chosen):
        """Those of all seeds, with the options of the trial of that index, or of none."""
        trial = {} if chosen is None else method.trials[chosen]
        return [Run(method.name, seed, with_end(method.options | trial) | {"seed": seed}) for seed in self.seeds]

    def _trial_options(self, method, trial):
        return with_end(self.tuning.options | method.options | trial | fewest_test_images(self.program, method.options))

    def placed(self, options):
        """The options with paths as the trainer finds them from anywhere: the caller's, or from the study's folder or
        the project's."""
        result = options | {name: path for name, path in self.where.items() if name in options}
        return {name: str(self._place(value)) if is_path(name, value) else value for name, value in result.items()}

    def _place(self, path):
        here = self.path.parent / path
        return here if here.exists() else ROOT / path


def is_path(name, value):
    return name in PATHS and not (name == "data" and value == "synthetic")


def with_end(options):
    """The test set is scored at the end alone, unless the study says otherwise."""
    return {"eval-every": 1000000} | options


def fewest_test_images(program, options):
    """Trials do not look at the test set; the trainer of images scores as few of it as it can."""
    if program != "cifar":
        return {}
    return {"test-subset": 100 if options.get("dataset") == "cifar100" else 10}


def read_toml(path):
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: is not TOML: {error}") from None


def flat(table):
    """The options of a trainer's file of options, whose groups are one list."""
    result = {}
    for name, value in table.items():
        result |= value if isinstance(value, dict) else {name: value}
    return {name: joined(value) for name, value in result.items()}


def joined(value):
    """A list as the trainers write it."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def load(path, settings=()):
    """The study in a file; `settings` are (name, value) of common options that go before the file's. Throws Refused."""
    path = pathlib.Path(path).resolve()
    content = read_toml(path)
    refused = lambda condition, *message: require(condition, path, ": ", *message)
    known = {"title", "program", "baseline", "seeds", "common", "method", "tuning"}
    refused(
        content.keys() <= known, "there is no ", _names(content.keys() - known), " in a study; expected ", _names(known)
    )
    program = content.get("program")
    refused(program in PROGRAMS, "program: expected ", " or ".join(PROGRAMS), ", found ", program)
    seeds = _seeds(content.get("seeds"), refused, "seeds")
    where = {name: value for name, value in settings if is_path(name, value)}
    common = content.get("common", {}) | {name: value for name, value in settings if name not in where}
    refused(
        isinstance(content.get("method"), dict) and content["method"], "has no methods: expected tables [method.NAME]"
    )
    tuning = _tuning(content.get("tuning"), program, refused)
    methods = {
        name: _method(path, name, table, common, refused, tuning is not None)
        for name, table in content["method"].items()
    }
    counts = {name: len(method.trials) for name, method in methods.items()}
    least, most = min(counts, key=counts.get), max(counts, key=counts.get)
    refused(
        counts[least] == counts[most],
        f"method {least} has {counts[least]} trials and {most} has {counts[most]}; every method has as many",
    )
    baseline = content.get("baseline")
    refused(baseline in methods, "baseline: expected one of the methods ", _names(methods), ", found ", baseline)
    return Study(path, content.get("title", path.stem), program, baseline, seeds, methods, tuning, where)


def _names(names):
    return ", ".join(sorted(names))


def _seeds(seeds, refused, what):
    whole = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
    refused(
        whole and len(set(seeds)) == len(seeds), what, ": expected a list of different whole numbers, found ", seeds
    )
    return seeds


def _tuning(table, program, refused):
    if table is None:
        return None
    scores = SCORES[program]
    score = table.get("score", scores[0])
    refused(score in scores, "tuning: score: expected ", " or ".join(scores), ", found ", score)
    seeds = _seeds(table.get("seeds"), refused, "tuning: seeds")
    options = {name: value for name, value in table.items() if name not in ("score", "seeds")}
    refused(
        program != "cifar" or options.get("held-out", 0) > 0,
        "tuning: held-out: expected the number of training images by which trials are chosen",
    )
    return Tuning(seeds, score, options)


def _method(path, name, table, common, refused, tuned):
    refused(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name), f"method {name!r}: is no name for a folder")
    refused(isinstance(table, dict), f"method {name}: expected a table of options")
    own = dict(table)
    title, trials = own.pop("title", name), own.pop("trials", [])
    refused(
        isinstance(trials, list) and all(isinstance(trial, dict) for trial in trials),
        f"method {name}: trials: expected a list of tables of options",
    )
    refused(
        bool(trials) == tuned,
        f"method {name}: has {'no' if tuned else ''} trials, and there is {'a' if tuned else 'no'} [tuning]",
    )
    options = {}
    for base in (common, own):  # files of options first, by which the common budget is not set
        if "config" in base:
            options |= flat(read_toml(_config_path(path, base["config"])))
    options |= {key: value for key, value in (common | own).items() if key != "config"}
    for key, value in [*options.items(), *(item for trial in trials for item in trial.items())]:
        plain = isinstance(value, (str, int, float, list))
        refused(
            plain and key != "seed", f"method {name}: {key} = {value}: expected an option of the trainer, seeds apart"
        )
    options = {key: joined(value) for key, value in options.items()}
    return Method(name, title, options, [{key: joined(value) for key, value in trial.items()} for trial in trials])


def _config_path(path, config):
    here = path.parent / config
    return here if here.exists() else ROOT / config
