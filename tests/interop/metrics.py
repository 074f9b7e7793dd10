"""Checks lpw's scores of predictions against their definitions in NumPy, and scikit-learn's where that is installed.

  metrics.py PROGRAM   PROGRAM is made from metrics.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"SKIPPED: {error}; pip install numpy safetensors")
    sys.exit(77)
try:
    import sklearn.metrics as sklearn
except ImportError:
    sklearn = None

SMALLEST = 5e-324


def logarithms(p):
    return np.log(np.maximum(p, SMALLEST))


def nll_at(p, labels, inverse):
    scaled = logarithms(p) * inverse
    scaled -= scaled.max(1, keepdims=True)
    return np.mean(np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(labels)), labels])


def best_temperature(p, labels):
    """By golden sections over 1 / T, in which the likelihood is concave."""
    low, high, part = 0.01, 100.0, (5**0.5 - 1) / 2
    for _ in range(200):
        a, b = high - part * (high - low), low + part * (high - low)
        low, high = (low, b) if nll_at(p, labels, a) < nll_at(p, labels, b) else (a, high)
    return 2 / (low + high)


def entropy(p):
    return -np.sum(np.where(p > 0, p * logarithms(p), 0), 1)


def groups(values):
    """For each sample, the first and last place of those that are equal to it in ascending order."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")


def calibration_error(confidence, right):
    bins = np.ceil(confidence * 15).clip(1, 15)
    gap = lambda bin: abs(np.sum((right - confidence)[bins == bin]))
    return sum(map(gap, range(1, 16))) / len(right)


def adaptive_calibration_error(confidence, right):
    """With the right ones of equal confidence spread evenly, each sample counts in the bin of its place."""
    spread = np.array([right[confidence == c].mean() for c in confidence])
    order = np.argsort(confidence)
    borders = np.arange(16) * len(right) // 15
    gaps = [abs(np.sum((spread - confidence)[order[a:b]])) for a, b in zip(borders, borders[1:])]
    return sum(gaps) / len(right)


def aurc(confidence, right):
    """A sample that is wrong is among the n surest with the share of the orders of equal ones in which it is."""
    first, last = groups(-confidence)
    risks = []
    for n in range(1, len(right) + 1):
        among = ((n - first) / (last - first)).clip(0, 1)
        risks.append(np.sum(among * (1 - right)) / n)
    return np.mean(risks)


def rates(negatives, positives):
    """True and false positives at each threshold, from the highest on."""
    thresholds = np.unique(np.concatenate([negatives, positives]))[::-1]
    reach = lambda scores: np.array([np.sum(scores >= t) for t in thresholds])
    return reach(positives), reach(negatives)


def average_precision(negatives, positives):
    right, wrong = rates(negatives, positives)
    return np.sum(np.diff(np.concatenate([[0], right])) / len(positives) * right / (right + wrong))


def false_rate(negatives, positives):
    right, wrong = rates(negatives, positives)
    return np.min(wrong[right * 20 >= 19 * len(positives)]) / len(negatives)


def area(negatives, positives):
    differences = positives[:, None] - negatives[None, :]
    return np.mean((differences > 0) + 0.5 * (differences == 0))


def expected(members, labels, other, p, entropies, other_entropies):
    confidence, right = p.max(1), (p.argmax(1) == labels).astype(float)
    one_hot = np.eye(p.shape[1])[labels]
    votes = members.argmax(2)
    pairs = [np.mean(votes[a] != votes[b]) for a in range(len(votes)) for b in range(a)]
    return {
        "accuracy": right.mean(),
        "nll": -np.mean(logarithms(p)[np.arange(len(labels)), labels]),
        "brier": np.mean(np.sum((p - one_hot) ** 2, 1)),
        "ece": calibration_error(confidence, right),
        "adaptive_ece": adaptive_calibration_error(confidence, right),
        "aurc": aurc(confidence, right),
        "disagreement": np.mean(pairs),
        "temperature": best_temperature(p, labels),
        "auroc": area(entropies, other_entropies),
        "aupr_out": average_precision(entropies, other_entropies),
        "aupr_in": average_precision(-other_entropies, -entropies),
        "fpr_out": false_rate(entropies, other_entropies),
        "fpr_in": false_rate(-other_entropies, -entropies),
        "auroc_by_p": area(-confidence, -other.max(1)),
        "aupr_out_by_p": average_precision(-confidence, -other.max(1)),
    }


def by_scikit_learn(members, labels, other, p, entropies, other_entropies):
    out = np.repeat([0, 1], [len(p), len(other)])
    by_p = np.concatenate([-p.max(1), -other.max(1)])
    return {
        "accuracy": sklearn.accuracy_score(labels, p.argmax(1)),
        "auroc_by_p": sklearn.roc_auc_score(out, by_p),
        "aupr_out_by_p": sklearn.average_precision_score(out, by_p),
    }


def worst_of(name, content, references):
    members, labels, other, p, entropies, other_entropies = arrays = [
        content[f"{name}.{part}"] for part in ["members", "labels", "other", "mean", "entropies", "other_entropies"]
    ]
    arrays[1] = labels.astype(int)
    for found, value in [(p, members.mean(0)), (entropies, entropy(p)), (other_entropies, entropy(other))]:
        if not np.max(np.abs(found - value)) <= 1e-13:
            raise SystemExit(f"{name}: a mean or an entropy differs")
    worst = 0.0
    for reference in references:
        for score, value in reference(*arrays).items():
            found = content[f"{name}.{score}"][0]
            # Sums of 1500 terms in double in another order. A minimum's place is known to the root of its value's
            # rounding.
            tolerance = 1e-6 if score == "temperature" else 1e-11
            difference = abs(found - value) / (1 + abs(value))
            print(f"{name} {score}: {found:.12g}, {reference.__name__} {value:.12g}")
            if not difference <= tolerance:
                raise SystemExit(f"{name} {score}: {found!r} differs from {value!r}")
            worst = max(worst, difference) if score != "temperature" else worst
    return worst


with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "out.safetensors"
    subprocess.run([sys.argv[1], path], check=True)
    content = load_file(path)
    references = [expected] + ([by_scikit_learn] if sklearn else [])
    for name in ["smooth", "ties"]:
        print(f"{name}: agrees to {worst_of(name, content, references):.1e}")
