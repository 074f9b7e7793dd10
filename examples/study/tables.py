"""The tables of a study in Markdown: scores with differences to the baseline, members, trials, cost."""

import json
import shlex
import textwrap

import evaluations
from figures import SCORES, TRAINING, evaluated
from plan import ROOT


def table(study, found):
    """All of them, with the command that repeats a row's runs at the end."""
    ended = {name: method for name, method in found["methods"].items() if has_ended(method)}
    methods = {name: method for name, method in ended.items() if method["seeds"]}
    parts = [_scores(study, ended), _beside(study, methods), _members(study, methods)]
    parts += [_evaluations(study, methods), _evaluated_differences(study, methods), _reading(study, methods)]
    parts += [_trials(study, found["methods"]), _cost(study, methods)]
    return "\n\n".join([*filter(None, parts), _again(study)]) + "\n"


def has_ended(method):
    """Whether there is anything to say of a method, which may be that it diverged."""
    return method["seeds"] or method["diverged"] or _lost(method)


def _lost(method):
    return method["trials"] and all(trial["score"] == "diverged" for trial in method["trials"])


def _again(study):
    file = study.path.relative_to(ROOT) if study.path.is_relative_to(ROOT) else study.path.name
    shown = lambda value: json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else str(value)
    given = [word for name, value in study.settings.items() for word in ("--set", f"{name}={shown(value)}")]
    command = shlex.join(["examples/study/study.py", str(file), *given]) + " --only METHOD --seed N"
    names = ", ".join(f"`{name}` ({method.title})" for name, method in study.methods.items())
    methods = textwrap.fill(f"METHOD is {names}.", width=100, break_long_words=False, break_on_hyphens=False)
    return f"A row's run again, by the programs of the release build:\n\n```sh\n{command}\n```\n\n{methods}"


def _runs(study, method):
    """How many there are; and of how many, and what became of the rest, where some are missing."""
    finished, all = len(method["seeds"]), len(study.seeds)
    text = str(finished) if finished == all else f"{finished} of {all}"
    if method["diverged"]:
        text += f", {len(method['diverged'])} diverged"
    return text + (", all trials diverged" if _lost(method) else "")


def _markdown(title, rows):
    lines = [title, ["---"] * len(title), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(
        "| " + " | ".join(line) + " |" if line[0] != "---" else "|" + "|".join(line) + "|" for line in lines
    )


def cell(value, quantity, signed=False):
    """ "mean ± half of the interval"; a difference is bold where the interval leaves out 0."""
    if value is None:
        return ""
    mean = value["mean"] * quantity.scale
    text = f"{mean:+.{quantity.digits}f}" if signed else f"{mean:.{quantity.digits}f}"
    if value["half_width"] is None:
        return text
    text += f" ± {value['half_width'] * quantity.scale:.{quantity.digits}f}"
    return f"**{text}**" if signed and 0 < value["half_width"] < abs(value["mean"]) else text


def _scores(study, methods):
    title, rows = ["method", "runs"], []
    quantities = SCORES[study.program]
    for quantity in quantities:
        title += [quantity.title, "difference"]
    title += [quantity.title for quantity in TRAINING[study.program]]
    for method in methods.values():
        row = [method["title"], _runs(study, method)]
        for quantity in quantities:
            row.append(cell(method["scores"][quantity.name].get("served"), quantity))
            row.append(cell(method["differences"].get(quantity.name), quantity, signed=True))
        row += [cell(method["training"][quantity.name], quantity) for quantity in TRAINING[study.program]]
        rows.append(row)
    baseline = study.methods[study.baseline].title
    some_diverged = any(method["diverged"] for method in methods.values())
    reading = textwrap.fill(
        "Means over seeds ± half of their 95 % confidence interval (Student's t). Differences are those to "
        f"{baseline} over equal seeds, bold where the interval leaves out 0; each interval is for itself, and of "
        "twenty one is expected to leave out 0 by chance. Training is that of the last epoch, as trained on.",
        width=100,
    )
    return (
        f"{_markdown(title, rows)}\n\n{reading}"
        + ("\nFigures of a method of which runs diverged are of the others alone." if some_diverged else "")
    )


def _beside(study, methods):
    """Differences to other methods than the baseline."""
    quantities = SCORES[study.program]
    rows = [
        [method["title"], study.methods[other].title]
        + [cell(differences[quantity.name], quantity, signed=True) for quantity in quantities]
        for method in methods.values()
        for other, differences in method["beside"].items()
        if any(differences.values())
    ]
    title = ["method", "beside", *(quantity.title for quantity in quantities)]
    return _markdown(title, rows) if rows else ""


def _members(study, methods):
    """Rows of methods of which there is more than one network to score."""
    columns = ("before_release", "members", "ensemble", "collapsed", "served")
    rows = []
    for method in methods.values():
        for quantity in SCORES[study.program]:
            scores = method["scores"][quantity.name]
            if "ensemble" in scores or method["served"] != ["collapsed"] or "before_release" in scores:
                cells = [cell(scores.get(column), quantity) for column in columns]
                rows.append([method["title"], quantity.title, *cells])
    title = ["method", "score", "before release", "mean member", "ensemble", "collapsed", "served"]
    return _markdown(title, rows) if rows else ""


def _evaluated(methods):
    return {name: method for name, method in methods.items() if method["evaluation"]}


def _evaluations(study, methods):
    """Scores by the program evaluate."""
    found = _evaluated(methods)
    quantities = evaluated(found.values())
    rows = []
    for method in found.values():
        scored, all = len(method["evaluation"]["seeds"]), len(study.seeds)
        scores = method["evaluation"]["scores"]
        cells = [cell(scores.get(quantity.name), quantity) for quantity in quantities]
        rows.append([method["title"], str(scored) if scored == all else f"{scored} of {all}", *cells])
    return _markdown(["method", "scored", *(quantity.title for quantity in quantities)], rows) if rows else ""


def _evaluated_differences(study, methods):
    """To the baseline, and to those beside; of a temperature there is none to be shown."""
    found = _evaluated(methods)
    differences = [values for method in found.values() for values in method["evaluation"]["differences"].values()]
    compared = {name for values in differences for name in values}
    quantities = [quantity for quantity in evaluated(found.values()) if quantity.name in compared - {"temperature"}]
    rows = [
        [method["title"], study.methods[other].title]
        + [cell(differences.get(quantity.name), quantity, signed=True) for quantity in quantities]
        for method in found.values()
        for other, differences in method["evaluation"]["differences"].items()
        if differences
    ]
    return _markdown(["method", "beside", *(quantity.title for quantity in quantities)], rows) if rows else ""


def _reading(study, methods):
    """How the scores by evaluate were made."""
    if not _evaluated(methods):
        return ""
    command = shlex.join(["evaluate", *evaluations.written(study.evaluate)])
    return textwrap.fill(
        f"Of what each method serves, by `{command}` (docs/evaluation.md); NLL and ECE at the temperature are of all "
        "test images, AUROC is by entropy. Intervals and differences are as above.",
        width=100,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _trials(study, methods):
    if study.tuning is None:
        return ""
    rows = []
    for method in methods.values():
        for number, trial in enumerate(method["trials"]):
            options = ", ".join(f"{name} = {value}" for name, value in trial["options"].items()) or "as it is"
            value = trial["score"]
            shown = "" if value is None else f"{value:.4f}" if isinstance(value, float) else value
            rows.append([method["title"], options, shown, "yes" if method["chosen"] == number else ""])
    return _markdown(
        ["method", "trial", study.tuning.score.replace("_", " ").replace("valid", "held-out"), "chosen"], rows
    )


def _number(value, digits=0):
    return "" if value is None else f"{value:.{digits}f}"


def _cost(study, methods):
    title = ["method", "samples forward", "backward", "seconds", "of the baseline's", "peak MB"]
    title += ["parameters served", "passes", "ms a sample"]
    baseline = methods.get(study.baseline)
    rows = []
    for method in methods.values():
        mean = {name: value and value["mean"] for name, value in method["cost"].items()}
        share = mean["seconds"] / baseline["cost"]["seconds"]["mean"] if baseline else None
        rows.append(
            [method["title"]]
            + [_number(mean[name]) for name in ("samples_forward", "samples_backward", "seconds")]
            + [_number(share, 2), _number(mean["peak_memory_mb"])]
            + [_number(mean["parameters_served"]), _number(mean["passes_served"])]
            + [_number(mean["milliseconds_per_sample_served"], 3)]
        )
    return _markdown(title, rows)
