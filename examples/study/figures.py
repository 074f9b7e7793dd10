"""The figures of a study, from the runs that are finished: what results.json holds, and tables and pictures show."""

import csv
import dataclasses
import json
import statistics

import evaluations
from estimates import CONFIDENCE, estimate, paired_difference
from folders import Place, is_number, write_whole
from plan import require


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A score of summary.json; shown with so many digits, times `scale`."""

    name: str
    title: str
    digits: int = 4
    scale: float = 1

    @property
    def higher_is_better(self):
        return self.name.endswith("accuracy")


PERCENT = {"digits": 2, "scale": 100}
SCORES = {
    "cifar": (
        Quantity("test_accuracy", "accuracy, %", **PERCENT),
        Quantity("test_nll", "NLL"),
        Quantity("test_ece", "ECE, %", **PERCENT),
    ),
    "enwik8": (Quantity("test_bpc", "test, bits/char."), Quantity("valid_bpc", "validation")),
}
TRAINING = {
    "cifar": (Quantity("train_accuracy", "training accuracy, %", **PERCENT), Quantity("train_loss", "training loss")),
    "enwik8": (Quantity("train_bpc", "training, bits/char."),),
}
EVALUATED = (  # by the program evaluate, in the order of its columns; detection of other data after them
    Quantity("brier", "Brier"),
    Quantity("adaptive_ece", "adaptive ECE, %", **PERCENT),
    Quantity("aurc", "AURC"),
    Quantity("disagreement", "disagreement, %", **PERCENT),
    Quantity("temperature", "temperature", digits=3),
    Quantity("nll_at_temperature", "NLL at it"),
    Quantity("ece_at_temperature", "ECE at it, %", **PERCENT),
    Quantity("corrupted_accuracy", "accuracy, corrupted, %", **PERCENT),
    Quantity("corrupted_nll", "NLL, corrupted"),
    Quantity("mce", "mCE"),
)
ROWS = ("served", "before_release", "members", "ensemble", "collapsed")  # of a score; members': their mean
COSTS = (
    "samples_forward",
    "samples_backward",
    "seconds",
    "peak_memory_mb",
    "parameters_served",
    "passes_served",
    "milliseconds_per_sample_served",
)


def choose(study, method, out):
    """What a method's trials scored, each the mean over its seeds, infinity for one that diverged, None for one that is
    not finished; and the index of the best once all are there. Of equal ones the first is taken."""
    if study.tuning is None:
        return [], None
    worst = float("-inf") if study.tuning.higher_is_better else float("inf")
    scores = []
    for runs in study.trials(method):
        places = [Place(out, run) for run in runs]
        summaries = [place.summary() for place in places]
        if any(place.diverged() for place in places):
            scores.append(worst)
        elif None in summaries:
            scores.append(None)
        else:
            scores.append(statistics.fmean(held_out_score(study, summary, places[0]) for summary in summaries))
    if None in scores or set(scores) == {worst}:
        return scores, None
    return scores, scores.index(max(scores) if study.tuning.higher_is_better else min(scores))


def held_out_score(study, summary, place):
    name = f"{study.tuning.score}_served"
    require(name in summary, f"{place.folder}/summary.json: has no {name}: the trainer is of another version")
    return summary[name]


def final_runs(study, method, out):
    """The runs of all seeds, with the options of the trial that is chosen; none before one is."""
    chosen = choose(study, method, out)[1]
    return [] if study.tuning is not None and chosen is None else study.runs(method, chosen)


def finished(study, method, out):
    """The summaries by seed, and the seeds whose runs diverged."""
    places = [Place(out, run) for run in final_runs(study, method, out)]
    found = {place.run.seed: place.summary() for place in places}
    diverged = [place.run.seed for place in places if place.diverged()]
    return {seed: summary for seed, summary in found.items() if summary is not None}, diverged


def score(summary, name, row):
    """None where the run has no such row: members, where there is one."""
    if summary["members"] == 1 and row in ("members", "ensemble"):
        return None
    value = summary.get(f"{name}_{row}")
    values = value if isinstance(value, list) and value else [value]
    return statistics.fmean(values) if all(map(is_number, values)) else None


def evaluated(methods):
    """The quantities of evaluations that there are of any of the methods."""
    there = {name for method in methods for name in method["evaluation"].get("scores", {})}
    detected = [name for name in sorted(there) if name.startswith("auroc_")]
    others = [Quantity(name, f"AUROC, {name.removeprefix('auroc_')}, %", **PERCENT) for name in detected]
    return [quantity for quantity in EVALUATED if quantity.name in there] + others


def number(summary, name):
    return summary[name] if is_number(summary.get(name)) else None


def by_seed(summaries, value):
    """Of every seed, where all have it."""
    values = {seed: value(summary) for seed, summary in summaries.items()}
    return {} if None in values.values() else values


def figures(study, out):
    """Of all methods: for each the seeds, the trials, and estimates of scores, of differences to the baseline over
    equal seeds, of training and of cost."""
    found = {name: finished(study, method, out) for name, method in study.methods.items()}
    runs = {name: summaries for name, (summaries, _) in found.items()}
    result = {
        "study": study.name,
        "title": study.title,
        "program": study.program,
        "baseline": study.baseline,
        "confidence": CONFIDENCE,
    }
    return result | {
        "methods": {
            name: _of_method(study, study.methods[name], runs, out)
            | {"diverged": diverged, "evaluation": _evaluation(study, study.methods[name], out)}
            for name, (_, diverged) in found.items()
        }
    }


def _of_method(study, method, runs, out):
    own = runs[method.name]
    trials, chosen = choose(study, method, out)
    estimated = lambda values: estimate(values.values()).as_json() if values else None
    scores = {}
    for quantity in SCORES[study.program]:
        rows = {row: by_seed(own, lambda s, row=row: score(s, quantity.name, row)) for row in ROWS}
        if method.options.get("release-epoch") == 0:  # there was nothing before
            rows["before_release"] = {}
        scores[quantity.name] = {row: estimated(values) for row, values in rows.items() if values}
    return {
        "title": method.title,
        "seeds": list(own),
        "served": sorted({summary["served"] for summary in own.values()}),
        "trials": [
            {"options": options, "score": value if value is None or abs(value) < float("inf") else "diverged"}
            for options, value in zip(method.trials, trials, strict=False)
        ],
        "chosen": chosen,
        "scores": scores,
        "differences": {} if method.name == study.baseline else _differences(study, own, runs[study.baseline]),
        "beside": {other: _differences(study, own, runs[other]) for other in method.beside},
        "training": {q.name: estimated(by_seed(own, lambda s: number(s, q.name))) for q in TRAINING[study.program]},
        "cost": {name: estimated(by_seed(own, lambda s: number(s, name))) for name in COSTS},
    }


def _evaluation(study, method, out):
    """Of the runs that are scored by evaluate: seeds, estimates, and differences to the baseline and those beside."""
    if study.evaluate is None:
        return {}
    own = _evaluated_scores(study, method, out)
    if not own:
        return {}
    names = list(dict.fromkeys(name for scores in own.values() for name in scores))
    of = lambda runs, name: by_seed(runs, lambda scores: scores.get(name))
    differences = {}
    for other in (name for name in (study.baseline, *method.beside) if name != method.name):
        others = _evaluated_scores(study, study.methods[other], out)
        found = {name: paired_difference(of(own, name), of(others, name)) for name in names}
        differences[other] = {name: value.as_json() for name, value in found.items() if value is not None}
    scores = {name: estimate(values.values()).as_json() for name in names if (values := of(own, name))}
    return {"seeds": list(own), "scores": scores, "differences": differences}


def _evaluated_scores(study, method, out):
    places = [Place(out, run) for run in final_runs(study, method, out)]
    found = {p.run.seed: evaluations.evaluation(study, p) for p in places if p.summary() is not None}
    return {seed: evaluations.scores(content) for seed, content in found.items() if content is not None}


def _differences(study, own, others):
    """Of what is served, over the seeds that both have."""
    result = {}
    for quantity in SCORES[study.program]:
        difference = paired_difference(
            *(by_seed(runs, lambda s: score(s, quantity.name, "served")) for runs in (own, others))
        )
        result[quantity.name] = difference and difference.as_json()
    return result


def write(found, out):
    """results.json, and results.csv with a line for each estimate."""
    write_whole(out / "results.json", json.dumps(found, indent=2) + "\n")
    with open(out / "results.csv", "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("method", "kind", "quantity", "row", "n", "mean", "half_width", "values"))
        for name, method in found["methods"].items():
            for kind, quantity, row, value in _estimates(method):
                numbers = (value["n"], value["mean"], "" if value["half_width"] is None else value["half_width"])
                lines.writerow((name, kind, quantity, row, *numbers, " ".join(map(str, value["values"]))))


def _estimates(method):
    for name, rows in method["scores"].items():
        for row, value in rows.items():
            yield "score", name, row, value
    kinds = [("differences", "served", method["differences"])]
    kinds += [(f"differences_to_{other}", "served", values) for other, values in method["beside"].items()]
    for kind, row, values in (*kinds, ("training", "", method["training"]), ("cost", "", method["cost"])):
        for name, value in values.items():
            if value is not None:
                yield kind, name, row, value
    evaluation = method["evaluation"]
    for kind, values in [("", evaluation.get("scores", {})), *evaluation.get("differences", {}).items()]:
        for name, value in values.items():
            yield f"evaluation_difference_to_{kind}" if kind else "evaluation", name, "served", value
