"""The evaluation: it scores what a trainer has saved as the trainer does, and refuses what it cannot score. Arguments:
the trainer of images, and the evaluation."""

import array
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import xml.dom.minidom

from trainer import check, main, summary, tiny, train

EVALUATE = os.path.abspath(sys.argv[2])
SIX = ["accuracy", "nll", "brier", "ece", "adaptive_ece", "aurc"]
SUBSET = ["--test-subset", 60]
RUN = tiny() + "--held-out 50 --snapshots 2 --schedule cosine-cycles:1".split()
SMALL = ["--train-subset", 300]
SHARED = {}


def evaluate(*arguments):
    return subprocess.run(
        [EVALUATE, *map(str, arguments), "--threads", "1"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def scored(out, *arguments):
    """What an evaluation writes, which must succeed."""
    done = evaluate(*arguments, "--out", out)
    check(done.returncode == 0, f"{arguments}: {done.returncode} {done.stderr}")
    for picture in out.glob("*.svg"):
        xml.dom.minidom.parse(str(picture))
    check({path.name for path in out.iterdir()} == {"evaluation.json", "reliability.svg", "risk_coverage.svg"}, "files")
    return json.loads((out / "evaluation.json").read_text()), done.stdout


def refused(*arguments, says, code=1):
    done = evaluate(*arguments)
    check(done.returncode == code, f"{arguments}: exits with {done.returncode}: {done.stderr}")
    one_line = done.stderr.startswith("evaluate: ") and done.stderr.count("\n") == 1
    check(one_line and done.stdout == "", f"{arguments}: not one line: {done.stderr!r} {done.stdout!r}")
    for words in [says] if isinstance(says, str) else says:
        check(words in done.stderr, f"{arguments}: no {words!r} in {done.stderr!r}")


def same(found, run_summary, row):
    """The trainer's scores are what the evaluation finds: both add up the same numbers in the same order."""
    for name in ["accuracy", "nll", "ece"]:
        expected = run_summary[f"test_{name}_{row}"]
        check(found[name] == expected, f"{row}: {name} {found[name]}, the trainer's {expected}")


def npy(path, shape, values, kind="|u1"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}\n".encode()
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(values))
    return path


def shared(folder):
    """Two runs, some images of noise, and the evaluation of the first run's network on everything."""
    train(folder / "a", *RUN)
    train(folder / "b", *RUN, "--seed", 2, "--average", "swa", "--average-start", 2, "--serve", "ensemble")
    npy(folder / "noise.npy", [80, 32, 32, 3], random.Random(1).randbytes(80 * 3072))
    npy(folder / "labels.npy", [80], array.array("q", [i % 10 for i in range(80)]).tobytes(), "<i8")
    noise = f"noise={folder / 'noise.npy'}"
    SHARED.update(a=folder / "a", b=folder / "b", noise=folder / "noise.npy", labels=folder / "labels.npy")
    everything = ["--ood", noise, "--ood", "self=synthetic", "--corruptions", "own"]
    SHARED["plain"], SHARED["printed"] = scored(folder / "plain", "--network", SHARED["a"], *SUBSET, *everything)
    SHARED["json"] = folder / "plain" / "evaluation.json"


def runs():
    return SHARED["a"], SHARED["b"]


def a_run_scores_as_in_its_summary(folder):
    a, b = runs()
    plain, printed = SHARED["plain"], SHARED["printed"]
    same(plain["test"]["ensemble"], summary(a), "collapsed")
    check(plain["members"] == 1 and plain["test"]["disagreement"] is None, "a plain network has one member")
    check(list(plain["test"]["ensemble"]) == SIX, plain["test"]["ensemble"])
    check("network  " in printed and "at temperature" in printed and "its run served" not in printed, printed)
    check([plain["networks"][0][name] for name in ("run_served", "take_served")] == ["collapsed", None], "served")
    test = plain["test"]
    gaps = sum(bin["count"] * abs(bin["accuracy"] - bin["confidence"]) for bin in test["reliability"]) / 60
    check(abs(gaps - test["ensemble"]["ece"]) < 1e-12, "ece is not its bins'")
    coverages, risks = zip(*test["risk_coverage"])
    check(len(risks) == 60 and abs(sum(risks) / 60 - test["ensemble"]["aurc"]) < 1e-12, "aurc is not the curve's area")
    check(coverages[-1] == 1 and abs(risks[-1] - (1 - test["ensemble"]["accuracy"])) < 1e-12, "the risk of all")
    check(plain["data"]["trained_on"] == "synthetic", plain["data"])
    for run_folder in [a, b]:  # the members of b are averaged over time
        out = folder / f"{run_folder.name}-members"
        members, printed = scored(out, "--network", run_folder, *SUBSET, "--take", "members")
        same(members["test"]["ensemble"], summary(run_folder), "ensemble")
        for name in ["accuracy", "nll", "ece"]:
            found = [member[name] for member in members["test"]["members"]]
            check(found == summary(run_folder)[f"test_{name}_members"], f"members: {name} {found}")
        check(members["members"] == 3 and 0 <= members["test"]["disagreement"] <= 1, members["members"])
        check("mean of 3 members" in printed, printed)
    snapshots, _ = scored(folder / "snapshots", "--network", a, *SUBSET, "--take", "snapshots")
    same(snapshots["test"]["ensemble"], summary(a), "snapshots")
    check(snapshots["networks"][0]["members"] == 2, snapshots["networks"])
    last = max((a / "snapshots").glob("*.safetensors"), key=lambda path: int(path.stem.split("-")[1]))
    alone, printed = scored(folder / "alone", "--network", last, *SUBSET)  # whose file says what it is of
    check(alone["networks"][0]["model"] == "wrn-10-1" and "warning" not in printed, printed)


def several_are_one_ensemble(folder):
    a, b = runs()
    both, printed = scored(folder / "out", "--network", a, "--network", b / "checkpoint.lpw", *SUBSET)
    check([n["members"] for n in both["networks"]] == [1, 3] and both["members"] == 4, both["networks"])
    check([n["what"] for n in both["networks"]] == ["model.safetensors", "members of checkpoint.lpw"], both["networks"])
    same(both["test"]["members"][0], summary(a), "collapsed")
    mean = both["test"]["mean_of_members"]["nll"]
    check(abs(mean - sum(m["nll"] for m in both["test"]["members"]) / 4) < 1e-12, "the mean of the members' scores")
    check(both["test"]["ensemble"]["nll"] <= mean, "-log is convex: the mean prediction's likelihood is no worse")
    again = ["--network", a, "--network", a / "model.safetensors", "--held-out", 0]
    twice, printed = scored(folder / "twice", *again, *SUBSET)
    check(twice["test"]["disagreement"] == 0, "a network agrees with itself")
    check(twice["test"]["ensemble"] == SHARED["plain"]["test"]["ensemble"], "twice the same: the mean is exact")
    check(twice["temperature"] is None and "no temperature is fitted" in printed, twice["temperature"])


def a_temperature_is_fitted_on_held_out_images(folder):
    a, b = runs()
    fit = SHARED["plain"]["temperature"]
    for name in ["accuracy", "nll"]:  # the images that the run held out; other minibatches may round otherwise
        difference = abs(fit["held_out_before"][name] - summary(a)[f"valid_{name}_collapsed"])
        check(difference <= 1e-6, f"held-out {name} differs by {difference}")
    check(fit["held_out_images"] == 50 and fit["held_out_was_trained_on"] is False, fit)
    check(fit["held_out_after"]["nll"] <= fit["held_out_before"]["nll"], "the temperature makes it worse")
    check(fit["test_after"]["accuracy"] == SHARED["plain"]["test"]["ensemble"]["accuracy"], "a prediction changed")
    check(sum(bin["count"] for bin in fit["reliability_after"]) == 60, "bins")
    more, printed = scored(folder / "more", "--network", b, *SUBSET, "--held-out", 100)
    check(more["temperature"]["held_out_was_trained_on"] is True and "WARNING" in printed, "trained on them")
    check("its run served its ensemble, which --take members scores" in printed, printed)
    check(more["networks"][0]["take_served"] == "members", more["networks"])
    train(folder / "c", *tiny(), "--held-out", 50, "--init", a / "model.safetensors", "--epochs", 1)
    started, printed = scored(folder / "started", "--network", folder / "c", *SUBSET)
    check(started["temperature"]["held_out_was_trained_on"] is None and "nothing records" in printed, "its --init may")
    asked = ["--held-out", 50, "--train-subset", 300]
    lone, printed = scored(folder / "lone", "--network", a / "model.safetensors", *SUBSET, *asked)
    check(lone["temperature"]["temperature"] == fit["temperature"], "the same images")
    check(lone["temperature"]["held_out_was_trained_on"] is None and "nothing records" in printed, "nothing says so")


def a_temperature_is_fitted_on_unseen_images(folder):
    """Those that follow the training images in each class: of a larger subset what is left when they are held out."""
    a, b = runs()
    found, printed = scored(folder / "a", "--network", a, *SUBSET, "--unseen", 40)
    fit = found["temperature"]
    check(fit["held_out_images"] == 40 and fit["held_out_was_trained_on"] is False, fit)
    check("fitted on 40 held-out images" in printed and "WARNING" not in printed, printed)
    larger, _ = scored(folder / "larger", "--network", a, *SUBSET, "--train-subset", 340, "--held-out", 339)
    first, _ = scored(folder / "first", "--network", a, *SUBSET, "--train-subset", 340, "--held-out", 300)
    sums = [e["temperature"]["held_out_before"]["nll"] * n for e, n in ((first, 300), (found, 40))]
    last, _ = scored(folder / "last", "--network", a, *SUBSET, "--train-subset", 339, "--unseen", 1)
    sums += [larger["temperature"]["held_out_before"]["nll"] * 339, last["temperature"]["held_out_before"]["nll"]]
    check(abs(sums[0] + sums[1] - sums[2] - sums[3]) <= 1e-4, f"other images: {sums}")
    seen, printed = scored(folder / "seen", "--network", a, *SUBSET, "--unseen", 40, "--train-subset", 250)
    check(seen["temperature"]["held_out_was_trained_on"] is True and "WARNING" in printed, "trained on them")
    lone, printed = scored(folder / "lone", "--network", a / "model.safetensors", *SUBSET, "--unseen", 9, *SMALL)
    check(lone["temperature"]["held_out_was_trained_on"] is None and "nothing records" in printed, "nothing says so")
    one = ["--network", a, *SUBSET]
    refused(*one, "--unseen", 9, "--held-out", 8, says="--unseen 9: a temperature is fitted on these or on --held")
    refused(*one, "--unseen", 10**6, says=["--unseen 1000000: beside the 300 ", "--train-subset 1000300"])
    refused("--network", a / "model.safetensors", "--unseen", 9, says="--unseen 9: none are left: nothing says that")


def a_part_is_corrupted(folder):
    a, _ = runs()
    part, _ = scored(folder / "part", "--network", a, *SUBSET, "--corruptions", "own", "--corrupted", 20)
    whole, _ = scored(folder / "whole", "--network", a, "--test-subset", 20, "--corruptions", "own")
    check(part["data"]["test_images"] == 60 and part["corruptions"] == whole["corruptions"], part["corruptions"])
    one = ["--network", a, *SUBSET]
    refused(*one, "--corruptions", "own", "--corrupted", 61, says="--corrupted 61: there are 60 test images")
    refused(*one, "--corrupted", 20, says="--corrupted does nothing here: no corrupted images are scored")


def other_data_and_corruptions(folder):
    a, noise, labels = SHARED["a"], SHARED["noise"], SHARED["labels"]
    base, printed = SHARED["plain"], SHARED["printed"]
    check([(entry["name"], entry["images"]) for entry in base["ood"]] == [("noise", 60), ("self", 60)], base["ood"])
    for entry in base["ood"]:
        for by in ["by_entropy", "by_max_probability"]:
            check(set(entry[by]) == {"auroc", "out_of_distribution_is_positive", "in_distribution_is_positive"}, entry)
    check(base["ood"][1]["by_entropy"]["auroc"] == 0.5, "the test set cannot be told from itself")
    check("noise, by entropy" in printed and "aupr out" in printed, printed)
    found = base["corruptions"]
    check("not CIFAR-10-C" in found["set"] and found["mce"] is None and found["images"] == 60, found["set"])
    check(len(found["kinds"]) == 6 and all(len(kind["severities"]) == 5 for kind in found["kinds"]), "kinds")
    check(found["labels_compared"] is True and "labels are not compared" not in printed, found["labels_compared"])
    corrupted = ["--network", a, "--corruptions", "own", "--reference", SHARED["json"]]
    again, printed = scored(folder / "again", *corrupted, *SUBSET)
    check(again["corruptions"]["mce"] == 1 and "mCE 1.0000" in printed, "a network is as good as itself")
    severities = [[kind["severities"] for kind in e["corruptions"]["kinds"]] for e in [base, again]]
    check(severities[0] == severities[1], "other images")
    other = ["--test", f"{noise}:{labels}"]
    refused(*corrupted, *SUBSET, *other, says=["is of other images (CRC-32C ", "the same --data, --test, "])
    foreign = json.loads(SHARED["json"].read_text())
    foreign["data"]["trained_on"] = "cifar10"
    (folder / "foreign.json").write_text(json.dumps(foreign))
    refused(*corrupted[:-1], folder / "foreign.json", *SUBSET, says="a network trained on cifar10, expected synthetic")
    for test in (noise, f"{noise}:"):
        refused("--network", a, "--test", test, says=["--test", "needs labels; write IMAGES.npy:LABELS.npy"])
    refused("--network", a, "--ood", f"x={noise}:{labels}", says="has labels")
    refused("--network", a, "--reference", SHARED["json"], says="--reference does nothing here")
    refused(*corrupted, "--test-subset", 10, says=["is of 60 images", "--test-subset"])
    refused(*corrupted, *SUBSET, "--seed", 3, says="seed 0")
    refused(*corrupted, "--reference", labels, says="is no evaluation.json")


def published_corruptions(folder):
    """Files of zeros take no room, and all images of a class look alike; but for those of fog at severity 4, which are
    the images of --test, and of a kind that does not count."""
    a, _ = runs()
    files = folder / "CIFAR-10-C"
    files.mkdir()
    lacking = ["is not complete: gaussian_noise.npy", "labels.npy are missing"]
    refused("--network", a, "--corruptions", files, says=lacking)
    kinds = "gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
    kinds += "brightness contrast elastic_transform pixelate jpeg_compression "
    for kind in (kinds + "speckle_noise gaussian_blur spatter saturate").split():
        npy(files / f"{kind}.npy", [50000, 32, 32, 3], b"")
        os.truncate(files / f"{kind}.npy", (files / f"{kind}.npy").stat().st_size + 50000 * 3072)
    npy(files / "labels.npy", [50000], [i % 10 for i in range(50000)])
    for kind in ("fog", "spatter"):
        with open(files / f"{kind}.npy", "r+b") as file:
            file.seek(-2 * 10000 * 3072, os.SEEK_END)
            file.write(SHARED["noise"].read_bytes()[-80 * 3072 :])
    test = ["--test", f"{SHARED['noise']}:{SHARED['labels']}", "--test-subset", 10]
    found, printed = scored(folder / "out", "--network", a, *test, "--corruptions", files)
    check(found["corruptions"]["labels_compared"] is False and "labels are not compared" in printed, printed)
    published_errors(folder, files, found, ["--network", a, *test, "--corruptions", files])
    check(found["data"]["test_images"] == 10, found["data"])
    corrupted = found["corruptions"]
    check(corrupted["set"] == "CIFAR-10-C" and len(corrupted["kinds"]) == 19, corrupted["set"])
    check([kind["in_benchmark"] for kind in corrupted["kinds"]] == [True] * 15 + [False] * 4, "which count")
    check("saturate (not counted)" in printed, printed)
    npy(files / "labels.npy", [50000], [9 - i % 10 for i in range(50000)])
    refused("--network", a, "--corruptions", files, "--test-subset", 10, says="labels are not those of the test set")
    os.truncate(files / "fog.npy", 50000)
    refused("--network", a, "--corruptions", files, says=["fog.npy: truncated"])


def published_errors(folder, files, found, arguments):
    """Each severity is of its own images; and means, and mCE with a reference, are over the fifteen kinds."""
    kinds = found["corruptions"]["kinds"]
    expected = {name: found["test"]["ensemble"][name] for name in ("nll", "ece")}
    expected["error"] = 1 - found["test"]["ensemble"]["accuracy"]
    zeros = kinds[0]["severities"][0]
    check(zeros["error"] == 1 - 0.1, "one of ten classes is predicted for all")
    check(zeros["nll"] != expected["nll"], "nothing tells the images from zeros")
    for kind in kinds:
        for at in kind["severities"]:
            other = kind["name"] in ("fog", "spatter") and at["severity"] == 4
            same = {name: at[name] for name in expected} == (expected if other else {n: zeros[n] for n in expected})
            check(same, f"{kind['name']} at severity {at['severity']}: {at}")
    # A reference whose errors differ by kind and severity: CE is the ratio of sums over severities, not the mean of
    # ratios, and mCE the mean over 15 kinds, not over 19.
    reference = json.loads(json.dumps(found))
    for i, kind in enumerate(reference["corruptions"]["kinds"]):
        for at in kind["severities"]:
            at["error"] = at["severity"] / (5 + i)
    (folder / "reference.json").write_text(json.dumps(reference))
    again, printed = scored(folder / "mce", *arguments, "--reference", folder / "reference.json")
    errors = [sum(at["error"] for at in kind["severities"]) for kind in kinds]
    relative = [error * (5 + i) / 15 for i, error in enumerate(errors)]
    for i, kind in enumerate(again["corruptions"]["kinds"]):
        check(abs(kind["ce"] - relative[i]) < 1e-12, f"{kind['name']}: CE {kind['ce']}, expected {relative[i]}")
    for name, value in [("mce", sum(relative[:15]) / 15), ("mean_error", sum(errors[:15]) / 75)]:
        check(abs(again["corruptions"][name] - value) < 1e-12, f"{name} {again['corruptions'][name]}, expected {value}")
    check(f"mCE {sum(relative[:15]) / 15:.4f}" in printed, printed)


def bad_input_is_refused(folder):
    a, b = runs()
    refused(says="--network is missing")
    refused("--bogus", says="--bogus", code=2)
    refused("--network", folder / "none", says=[str(folder / "none"), "no such file or folder"])
    refused("--network", folder, says=["is no run folder with model.safetensors"])
    refused("--network", a / "config.toml", says="config.toml")
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "checkpoint.lpw").write_bytes((a / "checkpoint.lpw").read_bytes())
    refused("--network", folder / "unfinished", says="--take members")
    refused("--network", folder / "unfinished", "--take", "snapshots", says=["no snapshots", "--snapshots"])
    damaged = folder / "model.safetensors"
    damaged.write_bytes((a / "model.safetensors").read_bytes()[:-9])
    refused("--network", damaged, says=[str(damaged), "truncated"])
    refused("--network", a, "--model", "wrn-16-1", says="was not saved from this network")
    refused("--network", a / "checkpoint.lpw", "--model", "wrn-16-1", says=["wrn-10-1", "leave out --model"])
    refused("--network", a, "--data", folder, says=["synthetic", "without --data"])
    refused("--network", a, "--dataset", "cifar100", says="--dataset does nothing here")
    pair = ["--data", f"{SHARED['noise']}:{SHARED['labels']}"]
    refused("--network", a, *pair, "--dataset", "cifar100", says="--dataset does nothing here: the images are those of")
    refused("--network", a, "--image-size", 64, says="--image-size does nothing here: no images are decoded from files")
    refused("--network", a, "--damaged", "skip", says="--damaged does nothing here")
    refused("--network", a, "--test-subset", 3000, says=["--test-subset 3000"])
    refused("--network", a, "--held-out", 300, says=["--held-out 300"])
    refused("--network", a, "--ood", "svhn", says="expected NAME=DATA", code=2)
    unfinished = folder / "unfinished"
    says = ["--ood", "expected a folder with CIFAR's", "or IMAGES.npy\n"]
    refused("--network", a, "--ood", f"x={unfinished}", says=says)
    refused("--network", a, "--ood", f"x={folder}", says=[str(unfinished), "a class without images"])
    refused("--network", a, "--ood", "x=synthetic", "--ood", "x=synthetic", says="named twice")
    refused("--network", a, "--corruptions", folder / "none", says="no such folder")
    refused("--network", a, "--seed", 1, says="--seed does nothing here")
    refused("--network", a, "--precision", "tf32", says="--precision tf32 needs --device cuda")
    refused("--network", a, "--out", damaged, says=["choose another --out"])
    train(folder / "c", *tiny(), "--held-out", 20)
    refused("--network", a, "--network", folder / "c", says=["--held-out 20", "with 50", "--held-out 0"])


with tempfile.TemporaryDirectory(prefix="lpw-") as place:
    shared(pathlib.Path(place))
    main(
        a_run_scores_as_in_its_summary,
        several_are_one_ensemble,
        a_temperature_is_fitted_on_held_out_images,
        a_temperature_is_fitted_on_unseen_images,
        a_part_is_corrupted,
        other_data_and_corruptions,
        published_corruptions,
        bad_input_is_refused,
    )
