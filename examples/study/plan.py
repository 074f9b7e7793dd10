"""A study as its file describes it: a program, a common budget, methods, seeds, and trials on held-out data; from these
the runs that there are to be, each with its options."""

import dataclasses
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("cifar", "enwik8")
PATHS = ("data", "valid", "test", "init")  # options that name a file or folder, of which the contents count
MACHINE = ("threads", "checkpoint-minutes", "tensorboard")  # which change no result either
SCORES = {"cifar": ("valid_accuracy", "valid_nll"), "enwik8": ("valid_bpc",)}  # of held-out data; the first chooses
EVALUATE_READS = ("test", "ood", "corruptions", "reference")  # options of the program that may name files
EVALUATE_ITSELF = ("network", "take", "data", "dataset", "out", "export", "threads")  # of evaluate: what the study says
MADE = ("table.md", "results.json", "results.csv", "curves.svg", "differences.svg")  # beside the methods' folders


def one_line(text):
    """A message, whatever a name in it has: a newline, or a terminal's escape sequence."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


class Refused(Exception):
    """A study that cannot be run, or runs that are not its own: one line that says why."""


def require(condition, *message):
    if not condition:
        raise Refused("".join(map(str, message)))


@dataclasses.dataclass(frozen=True)
class Tuning:
    seeds: list
    score: str  # of summary.json, without _served
    options: dict  # of each trial: after what is common, before what its method and it say

    @property
    def higher_is_better(self):
        return self.score.endswith("accuracy")


@dataclasses.dataclass(frozen=True)
class Method:
    name: str
    title: str
    options: dict
    trial_options: dict  # the same with those of [tuning]
    trials: list  # of options each
    beside: tuple = ()  # the methods that it is compared with, as well as with the baseline


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
    settings: dict  # other common options of the caller's
    evaluate: dict | None = None  # options of the program evaluate, which scores each finished run

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
        options = method.trial_options | trial
        return with_end(options | fewest_test_images(self.program, options))

    def placed(self, options):
        """The options with paths as the trainer finds them from anywhere: the caller's, or from the study's folder or
        the project's."""
        result = options | {name: path for name, path in self.where.items() if name in options}
        return {name: str(self.place(value)) if is_path(name, value) else value for name, value in result.items()}

    def place(self, path):
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
    """A list as the trainers write it, and a seed beyond TOML's integers, which stands in quotes, as a number."""
    if isinstance(value, str) and re.fullmatch(r"\d{19,}", value):
        return int(value)
    return ",".join(map(str, value)) if isinstance(value, list) else value


def load(path, settings=()):
    """The study in a file; `settings` are (name, value) of common options that go before the file's. Throws Refused."""
    path = pathlib.Path(path).resolve()
    content = read_toml(path)
    refused = lambda condition, *message: require(condition, path, ": ", *message)
    known = {"title", "program", "baseline", "seeds", "common", "method", "tuning", "evaluate"}
    refused(
        content.keys() <= known, "there is no ", _names(content.keys() - known), " in a study; expected ", _names(known)
    )
    program = content.get("program")
    refused(program in PROGRAMS, "program: expected ", " or ".join(PROGRAMS), ", found ", program)
    seeds = _seeds(content.get("seeds"), refused, "seeds")
    title = _title(content.get("title", path.stem), refused, "title")
    where = {name: value for name, value in settings if is_path(name, value)}
    settings = {name: value for name, value in settings if name not in where}
    common = content.get("common", {})
    refused(isinstance(common, dict), "common: expected a table of options")
    refused(
        isinstance(content.get("method"), dict) and content["method"], "has no methods: expected tables [method.NAME]"
    )
    tuning = _tuning(content.get("tuning"), program, refused)
    methods = {
        name: _method(path, name, table, common | settings, refused, tuning)
        for name, table in content["method"].items()
    }
    _require_used(where, methods.values())
    counts = {name: len(method.trials) for name, method in methods.items()}
    least, most = min(counts, key=counts.get), max(counts, key=counts.get)
    refused(
        counts[least] == counts[most],
        f"method {least} has {counts[least]} trials and {most} has {counts[most]}; every method has as many",
    )
    baseline = content.get("baseline")
    refused(
        isinstance(baseline, str) and baseline in methods,
        f"baseline: expected one of the methods {_names(methods)}, found {baseline}",
    )
    for name, method in methods.items():
        for other in method.beside:
            refused(
                isinstance(other, str) and other in methods and other not in (name, baseline),
                f"method {name}: beside: expected other methods than it and the baseline, found {other}",
            )
    evaluate = _evaluate(content.get("evaluate"), program, methods.values(), refused)
    return Study(path, title, program, baseline, seeds, methods, tuning, where, settings, evaluate)


def _evaluate(table, program, methods, refused):
    if table is None:
        return None
    refused(isinstance(table, dict), "evaluate: expected a table of options")
    refused(program == "cifar", "evaluate: scores images, and the program is ", program)
    for name, value in table.items():
        parts = value if isinstance(value, list) else [value]
        plain = all(isinstance(part, (str, int, float)) and str(part).isprintable() for part in parts)
        refused(plain and name not in EVALUATE_ITSELF, f"evaluate: {name} = {value}: expected an option for all runs")
        if name in EVALUATE_READS:
            named = all(isinstance(part, str) and (name != "ood" or all(part.partition("="))) for part in parts)
            refused(named, f"evaluate: {name} = {value}: expected ", "NAME=DATA" if name == "ood" else "a path")
    for method in methods:
        for options in (method.options, *method.trials):
            served = str(options.get("serve", ""))
            scored = not served.startswith("dropout")
            refused(scored, f"evaluate: does not score what method {method.name} serves, {served}")
    return table


def _require_used(where, methods):
    """A path of the caller's takes the place of one in the file, which may be of some methods alone."""
    for name, path in where.items():
        used = any(name in options for method in methods for options in (method.trial_options, *method.trials))
        require(used, f"--set {name}={path}: the study has no {name}, in whose place this would be; its file needs one")


def _title(title, refused, what):
    whole = isinstance(title, str) and title.isprintable() and title.strip()
    refused(whole, what, ": expected a line of text, found ", repr(title))
    return title


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
    refused(isinstance(table, dict), "tuning: expected a table of options")
    scores = SCORES[program]
    score = table.get("score", scores[0])
    refused(score in scores, "tuning: score: expected ", " or ".join(scores), ", found ", score)
    seeds = _seeds(table.get("seeds"), refused, "tuning: seeds")
    options = {name: value for name, value in table.items() if name not in ("score", "seeds")}
    held_out = options.get("held-out", 0)
    refused(
        program != "cifar" or type(held_out) is int and held_out > 0,
        f"tuning: held-out: expected the number of training images by which trials are chosen, found {held_out!r}",
    )
    return Tuning(seeds, score, _options(options, refused, "tuning"))


def _method(path, name, table, common, refused, tuning):
    whole = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name) and name not in MADE
    refused(whole, f"method {name!r}: is no name for a folder")
    what = f"method {name}"
    refused(isinstance(table, dict), f"{what}: expected a table of options")
    own = dict(table)
    title, trials = _title(own.pop("title", name), refused, f"{what}: title"), own.pop("trials", [])
    beside = own.pop("beside", [])
    beside = tuple(beside) if isinstance(beside, list) else (beside,)
    refused(
        isinstance(trials, list) and all(isinstance(trial, dict) for trial in trials),
        f"{what}: trials: expected a list of tables of options",
    )
    refused(
        bool(trials) == (tuning is not None),
        f"{what}: has {'no' if tuning else ''} trials, and there is {'a' if tuning else 'no'} [tuning]",
    )
    files = {}
    for base in (common, own):  # files of options first, by which the common budget is not set
        if "config" in base:
            refused(isinstance(base["config"], str), f"{what}: config: expected a file, found {base['config']!r}")
            files |= flat(read_toml(_config_path(path, base["config"])))
    made = lambda *parts: _options({key: part[key] for part in parts for key in part if key != "config"}, refused, what)
    options = made(files, common, own)
    trials = [made(trial) for trial in trials]
    if tuning is None:
        return Method(name, title, options, options, trials, beside)
    for part in (options, *trials):
        refused("held-out" not in part, f"{what}: held-out: stands in [tuning] alone; seeds are trained on all images")
    return Method(name, title, options, made(files, common, tuning.options, own), trials, beside)


def _options(table, refused, what):
    """With lists as the trainers write them."""
    for name, value in table.items():
        parts = value if isinstance(value, list) else [value]
        plain = all(isinstance(part, (str, int, float)) for part in parts)
        refused(plain and name != "seed", f"{what}: {name} = {value}: expected an option of the trainer, seeds apart")
        refused(name not in PATHS or isinstance(value, str), f"{what}: {name}: expected a path, found {value!r}")
    return {name: joined(value) for name, value in table.items()}


def _config_path(path, config):
    here = path.parent / config
    return here if here.exists() else ROOT / config
