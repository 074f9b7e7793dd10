"""What is on disk of a study's runs: in OUT/METHOD/, for each run, NAME.toml (the options it was started with),
NAME.log, and the trainer's folder NAME. An export has no logs, and of the trainer's files config.toml, summary.json or
diverged.txt (the last line of the log), and of runs with all seeds what curves show of metrics.csv."""

import dataclasses
import json
import math
import os
import pathlib
import stat

from plan import MACHINE, PATHS, flat, is_path, read_toml, require


def toml_line(name, value):
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}\n"
    if isinstance(value, (str, list)):
        return f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
    return f"{name} = {value!r}\n"


def write_whole(path, text):
    """Whole or not at all, whatever ends the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)  # which may be a pipe, or another file's second name
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(text)
    os.replace(unfinished, path)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run is."""

    out: pathlib.Path
    run: object

    @property
    def folder(self):
        return self.out / self.run.method / self.run.name

    def beside(self, ending):
        return self.folder.parent / (self.run.name + ending)

    def begun(self):
        return any(path.exists() for path in (self.beside(".toml"), self.folder / "config.toml"))

    def summary(self):
        """What the run ended with, or None where it has not. Throws Refused for one with other options, and for scores
        that are no numbers."""
        self.require_same_options()
        path = self.folder / "summary.json"
        if not path.exists():
            return None
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            complete = isinstance(summary["served"], str) and type(summary["members"]) is int
            complete = complete and is_number(summary["seconds"])
        except (ValueError, KeyError, TypeError):
            complete = False
        require(complete, path, ": is not the summary of a run")
        for name, value in summary.items():
            if name.endswith("_served"):
                require(is_number(value), f"{path}: {name} is {value}")
        return summary

    def require_same_options(self):
        for path, must_have_all in ((self.beside(".toml"), True), (self.folder / "config.toml", False)):
            if path.exists():
                found = flat(read_toml(path))
                changes = differences(found, self.run.options, must_have_all)
                require(not changes, f"{self.run}: {path}: ", "; ".join(changes), "; take another --out, or remove it")

    def last_log_line(self):
        log = self.beside(".log")
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def diverged(self):
        """What the trainer said where its weights became infinite, which is a result, and none that another try would
        change; else ""."""
        if (self.folder / "summary.json").exists() or not (self.folder / "config.toml").exists():
            return ""
        record = self.folder / "diverged.txt"
        said = record.read_text(encoding="utf-8").strip() if record.exists() else self.last_log_line()
        return said if "training diverged" in said else ""


def differences(found, options, must_have_all):
    """What options were and are now. The trainer leaves those out of its record that say nothing (`must_have_all`)."""
    ignored = {*PATHS, *MACHINE}
    names = (found.keys() | options.keys() if must_have_all else found.keys() & options.keys()) - ignored
    changed = [name for name in sorted(names) if found.get(name) != options.get(name)]
    if "data" in found and "data" in options and is_path("data", found["data"]) != is_path("data", options["data"]):
        changed.append("data")
    shown = lambda values, name: json.dumps(values[name]) if name in values else "not set"
    return [f"{name} was {shown(found, name)}, now {shown(options, name)}" for name in changed]
