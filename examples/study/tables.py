"""The tables of a study in Markdown: scores with differences to the baseline, members, trials, cost."""

from figures import SCORES, TRAINING


def table(study, found):
    """All of them, with the command that repeats a row as a comment at the end."""
    methods = {name: method for name, method in found["methods"].items() if method["seeds"]}
    parts = [_scores(study, methods), _members(study, methods), _trials(study, found["methods"]), _cost(study, methods)]
    file = study.path.name
    command = f"examples/study/study.py examples/study/{file} --only METHOD --seed N"
    return "\n\n".join(filter(None, parts)) + f"\n\n<!-- a row's run again: {command} -->\n"


def _markdown(title, rows):
    lines = [title, ["---"] * len(title), *rows]
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
        row = [method["title"], str(len(method["seeds"]))]
        for quantity in quantities:
            row.append(cell(method["scores"][quantity.name].get("served"), quantity))
            row.append(cell(method["differences"].get(quantity.name), quantity, signed=True))
        row += [cell(method["training"][quantity.name], quantity) for quantity in TRAINING[study.program]]
        rows.append(row)
    baseline = study.methods[study.baseline].title
    return (
        f"{_markdown(title, rows)}\n\n"
        "Means over seeds ± half of their 95 % confidence interval (Student's t). Differences are those to\n"
        f"{baseline} over equal seeds, bold where the interval leaves out 0; each interval is for itself, and of\n"
        "twenty one is expected to leave out 0 by chance. Training is that of the last epoch, as trained on."
    )


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
            + [f"{mean[name]:.0f}" for name in ("samples_forward", "samples_backward", "seconds")]
            + ["" if share is None else f"{share:.2f}", f"{mean['peak_memory_mb']:.0f}"]
            + [f"{mean['parameters_served']:.0f}", f"{mean['passes_served']:.0f}"]
            + [f"{mean['milliseconds_per_sample_served']:.3f}"]
        )
    return _markdown(title, rows)
