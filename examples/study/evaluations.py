"""Scores of finished runs by the program `evaluate`, with the options of a study's table [evaluate]. Beside a run, in
the folder NAME.evaluation: options.toml, what it was scored with, and evaluation.json; an export has what is shown."""

import json
import statistics
import zlib

from folders import is_number, toml_line, write_whole
from plan import EVALUATE_READS, read_toml, require

TAKE = {"collapsed": "model", "ensemble": "members", "snapshots": "snapshots"}  # by what a method serves


def options_of(study, run):
    return study.evaluate | {"take": TAKE[run.options.get("serve", "collapsed")]}


def folder(place):
    return place.beside(".evaluation")


def sources(options):
    """What the options read of files, by a name for each; NAME=DATA and IMAGES.npy:LABELS.npy name more than one."""
    result = {}
    for option in (option for option in EVALUATE_READS if option in options):
        for text in _list(options[option]):
            name, data = text.split("=", 1) if option == "ood" else ("", text)
            for path in paths(data):
                result[f"{option} {name} {path}".replace("  ", " ")] = path
    return result


def paths(data):
    """Of a value; none where it is made by the program itself."""
    if data in ("own", "synthetic"):
        return []
    images, pair, labels = data.partition(".npy:")
    return [images + ".npy", labels] if pair else [data]


def written(options, placed=lambda option, value: str(value)):
    """As words of a command line."""
    words = []
    for name, value in options.items():
        for part in _list(value):
            words += [] if part is False else [f"--{name}"] if part is True else [f"--{name}", placed(name, part)]
    return words


def arguments(study, options):
    """The same with paths as the program finds them from anywhere."""
    return written(options, lambda option, value: _placed(study, option, value))


def _placed(study, option, value):
    if option not in EVALUATE_READS:
        return str(value)
    name, equals, data = value.partition("=") if option == "ood" else ("", "", value)
    return name + equals + (":".join(str(study.place(path)) for path in paths(data)) or data)


def _list(value):
    return value if isinstance(value, list) else [value]


def write_options(place, options, found):
    """With what the options' files hold, and with the summary that the evaluation belongs to."""
    lines = [toml_line(*option) for option in options.items()]
    lines += [f"# {name}: {content}\n" for name, content in (found | {"summary": _checksum(place)}).items()]
    write_whole(folder(place) / "options.toml", "".join(lines))


def recorded(place):
    lines = (folder(place) / "options.toml").read_text(encoding="utf-8").split("\n")
    return dict(line[2:].rsplit(": ", 1) for line in lines if line.startswith("# "))


def _checksum(place):
    content = (place.folder / "summary.json").read_bytes()
    return f"{len(content)} bytes, CRC-32 {zlib.crc32(content):08x}"


def evaluation(study, place):
    """Of a run that has ended, or None where it is not scored. Throws Refused where it is with other options, or of
    another training."""
    record, path = folder(place) / "options.toml", folder(place) / "evaluation.json"
    if not record.exists() or not path.exists() or place.summary() is None:
        return None
    found, options = read_toml(record), options_of(study, place.run)
    for name in sorted(found.keys() | options.keys()):
        was, now = (json.dumps(values.get(name)).replace("null", "not set") for values in (found, options))
        require(was == now, f"{place.run}: {record}: {name} was {was}, now {now}; remove its folder to score again")
    same = recorded(place).get("summary") == _checksum(place)
    require(same, f"{place.run}: {record}: is of another training than summary.json; remove its folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        complete = all(map(is_number, scores(content).values()))
    except (ValueError, KeyError, TypeError):
        complete = False
    require(complete, path, ": is not the evaluation of a run")
    return content


def scores(content):
    """What tables show of an evaluation, by name, as far as there is such; `quantity` of figures.py has the titles."""
    test, fit, corrupted = content["test"], content["temperature"], content["corruptions"]
    result = {name: test["ensemble"][name] for name in ("brier", "adaptive_ece", "aurc")}
    if test["disagreement"] is not None:
        result["disagreement"] = test["disagreement"]
    if fit is not None:
        result["temperature"] = fit["temperature"]
        result |= {f"{name}_at_temperature": fit["test_after"][name] for name in ("nll", "ece")}
    if corrupted is not None:
        all = [at for kind in corrupted["kinds"] if kind["in_benchmark"] for at in kind["severities"]]
        result["corrupted_accuracy"] = 1 - corrupted["mean_error"]
        result["corrupted_nll"] = statistics.fmean(at["nll"] for at in all)
        if corrupted["mce"] is not None:
            result["mce"] = corrupted["mce"]
    return result | {f"auroc_{other['name']}": other["by_entropy"]["auroc"] for other in content["ood"]}


def small(content):
    """What is published: without curves, each member's scores, and places of the machine."""
    only = lambda part, names: part and {name: part[name] for name in names if name in part}
    fit, corrupted = content["temperature"], content["corruptions"]
    result = {
        "members": content["members"],
        "precision": content["precision"],
        "data": only(content["data"], ("test_images", "classes")),
        "test": only(content["test"], ("ensemble", "mean_of_members", "disagreement")),
        "temperature": fit and {name: value for name, value in fit.items() if name != "reliability_after"},
        "ood": [{name: value for name, value in other.items() if name != "data"} for other in content["ood"]],
        "corruptions": corrupted and {name: value for name, value in corrupted.items() if name != "reference"},
    }
    return json.dumps(result, indent=1) + "\n"
