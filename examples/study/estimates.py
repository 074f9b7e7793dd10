"""Means with confidence intervals of Student's t. Its distribution for n whole degrees of freedom is a finite sum
(Abramowitz and Stegun, 26.7.3 and 26.7.4), of which quantiles are found by bisection."""

import dataclasses
import math
import statistics

CONFIDENCE = 0.95


def central_probability(angle, freedom):
    """P(|T| < sqrt(freedom) tan(angle)), 0 <= angle < pi / 2."""
    odd = freedom % 2
    if freedom == 1:
        return 2 * angle / math.pi
    term = math.cos(angle) ** odd
    total = term
    for i in range(odd + 2, freedom - 1, 2):
        term *= (i - 1) / i * math.cos(angle) ** 2
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def student_quantile(confidence, freedom):
    """The t for which P(|T| < t) is the confidence."""
    low, high = 0.0, math.pi / 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if central_probability(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Of values, one for each seed: their mean, and half the length of its confidence interval, None for one value."""

    values: tuple
    mean: float
    half_width: float | None

    def as_json(self):
        return {"n": len(self.values), "mean": self.mean, "half_width": self.half_width, "values": list(self.values)}


def estimate(values):
    values = tuple(values)
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return Estimate(values, mean, None)
    return Estimate(values, mean, student_quantile(CONFIDENCE, n - 1) * statistics.stdev(values) / math.sqrt(n))


def paired_difference(values, others):
    """Of two dictionaries by seed, over those of both: an Estimate, or None where there are none."""
    both = [seed for seed in values if seed in others]
    return estimate(values[seed] - others[seed] for seed in both) if both else None
