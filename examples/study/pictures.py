"""Pictures of a study as SVG: curves of training, and differences to the baseline with their intervals."""

import csv
import html
import math
import statistics

from figures import SCORES, TRAINING, final_runs
from folders import Place

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
DASHES = ("", "6 3", "2 2")  # of the first ten methods, the second, the third
FONT = 'font-family="sans-serif" font-size="12"'


def _n(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _svg(width, height, parts):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" {FONT}>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x, y, text, anchor="start", more=""):
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{more}>{html.escape(text)}</text>'


def _line(x1, y1, x2, y2, colour, width=1.0, dash=""):
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{_n(width)}"{dashes}/>'


def _ticks(low, high, most=5):
    """Round numbers from low to high."""
    step = 10 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


class _Scale:
    """From values to places; by their logarithms for what falls over powers of ten."""

    def __init__(self, values, begin, end, logarithmic=False):
        self.of = math.log10 if logarithmic else float
        low, high = self.of(min(values)), self.of(max(values))
        margin = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
        self.low, self.high, self.begin, self.end = low - margin, high + margin, begin, end

    def __call__(self, value):
        return self.begin + (self.of(value) - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self):
        if self.of is float:
            values = _ticks(self.low, self.high)
        else:
            powers = range(math.floor(self.low), math.ceil(self.high))
            values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        return [(tick, self(tick)) for tick in values if self.low <= self.of(tick) <= self.high]


def differences_picture(study, found):
    """For each score a panel: methods below each other, the mean difference with its interval, and each seed's."""
    methods = [m for name, m in found["methods"].items() if name != study.baseline and any(m["differences"].values())]
    left, width, row, top = 20 + 7 * max((len(m["title"]) for m in methods), default=0), 260, 24, 40
    parts, bottom = [], top + row * len(methods)
    for number, method in enumerate(methods):
        parts.append(_text(left - 12, top + row * (number + 0.5) + 4, method["title"], "end"))
    panels = SCORES[study.program]
    for number, quantity in enumerate(panels):
        at = left + number * (width + 20)
        better = "higher" if quantity.higher_is_better else "lower"
        parts.append(_text(at + width / 2, 24, f"{quantity.title}: difference ({better} is better)", "middle"))
        parts += _differences_panel(methods, quantity, (at, at + width), (top, bottom), row)
    return _svg(left + len(panels) * (width + 20), bottom + 30, parts)


def _differences_panel(methods, quantity, across, down, row):
    shown = [(i, m["differences"][quantity.name]) for i, m in enumerate(methods) if m["differences"].get(quantity.name)]
    ends = lambda d: (d["mean"] - (d["half_width"] or 0), d["mean"] + (d["half_width"] or 0))
    values = [0.0] + [quantity.scale * value for _, d in shown for value in (*ends(d), *d["values"])]
    x = _Scale(values, *across)
    parts = [_line(place, down[0], place, down[1], "#dddddd") for _, place in x.ticks()]
    parts += [_text(place, down[1] + 16, f"{tick:g}", "middle") for tick, place in x.ticks()]
    parts.append(_line(x(0), down[0], x(0), down[1], "#444444", 1, "4 3"))
    for number, difference in shown:
        y = down[0] + row * (number + 0.5)
        low, high = (x(quantity.scale * end) for end in ends(difference))
        for value in difference["values"]:
            parts.append(f'<circle cx="{_n(x(quantity.scale * value))}" cy="{_n(y + 6)}" r="1.5" fill="#999999"/>')
        parts.append(_line(low, y, high, y, COLOURS[0], 2))
        parts.append(
            f'<circle cx="{_n(x(quantity.scale * difference["mean"]))}" cy="{_n(y)}" r="4" fill="{COLOURS[0]}"/>'
        )
    return parts


def curves_picture(study, out):
    """Over the epochs, the mean of each method's seeds: what training says, and the held-out score where it was taken
    more than once."""
    histories = {name: _histories(study, method, out) for name, method in study.methods.items()}
    histories = {name: epochs for name, epochs in histories.items() if epochs}
    columns = [quantity for quantity in TRAINING[study.program]]
    columns += [q for q in SCORES[study.program] if _scored_often(histories, q.name)]
    width, height, left = 520, 240, 70
    parts = []
    for number, quantity in enumerate(columns):
        top = 30 + number * (height + 50)
        curves = {name: _mean_curve(epochs, quantity) for name, epochs in histories.items()}
        parts += _curves_panel(study, curves, quantity, (left, left + width), (top, top + height))
    for number, name in enumerate(histories):
        y = 40 + 18 * number
        parts.append(_line(left + width + 20, y - 4, left + width + 50, y - 4, *_style(study, name)))
        parts.append(_text(left + width + 58, y, study.methods[name].title))
    longest = max((len(study.methods[name].title) for name in histories), default=0)
    lowest = max(30 + len(columns) * (height + 50), 60 + 18 * len(histories))
    return _svg(left + width + 70 + 7 * longest, lowest, parts)


def _histories(study, method, out):
    paths = [Place(out, run).folder for run in final_runs(study, method, out)]
    return [rows(path / "metrics.csv") for path in paths if (path / "summary.json").exists()]


def rows(path):
    """A table of epochs."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _scored_often(histories, name):
    return any(sum(bool(row.get(name)) for row in epochs) > 1 for all in histories.values() for epochs in all)


def _mean_curve(histories, quantity):
    """(epoch, mean) of epochs that all have."""
    points = []
    for epochs in zip(*histories, strict=False):
        cells = [row.get(quantity.name) for row in epochs]
        if all(cells):
            points.append((int(epochs[0]["epoch"]), quantity.scale * statistics.fmean(map(float, cells))))
    return points


def _style(study, name):
    number = list(study.methods).index(name)
    return COLOURS[number % len(COLOURS)], 1.5, DASHES[number // len(COLOURS) % len(DASHES)]


def _curves_panel(study, curves, quantity, across, down):
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return []
    values = [value for _, value in points]
    x = _Scale([epoch for epoch, _ in points], *across)
    y = _Scale(values, down[1], down[0], 0 < 20 * min(values) < max(values))
    parts = [_text(across[0], down[0] - 8, quantity.title)]
    for tick, place in y.ticks():
        parts += [
            _line(across[0], place, across[1], place, "#dddddd"),
            _text(across[0] - 6, place + 4, f"{tick:g}", "end"),
        ]
    for tick, place in x.ticks():
        parts += [_line(place, down[0], place, down[1], "#eeeeee"), _text(place, down[1] + 16, f"{tick:g}", "middle")]
    parts.append(_text(across[1], down[1] + 32, "epoch", "end"))
    for name, curve in curves.items():
        colour, width, dash = _style(study, name)
        places = " ".join(f"{_n(x(epoch))},{_n(y(value))}" for epoch, value in curve)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>')
    return parts
