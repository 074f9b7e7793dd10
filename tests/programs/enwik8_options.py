"""Usage: enwik8_options.py ENWIK8
Every option of the enwik8 trainer does something to a run, or nothing where it must not; a run can be repeated and
evaluated from what it leaves; and it trains on its own source where no text is given, wherever it lies."""

import math
import os
import pathlib
import shutil
import subprocess

from trainer import (
    FILES,
    PROGRAM,
    TINY,
    check,
    check_same,
    contents,
    main,
    make_text,
    metrics,
    refused,
    results,
    run,
    summary,
    table,
    train,
)

RUN = TINY + ["--epochs", "2", "--release-epoch", "1"]
TEXT = pathlib.Path(TINY[TINY.index("--data") + 1])


def changes(folder):
    """Each of these trains another network than the run without it, and a sound one."""
    (folder / "other").write_bytes(make_text(4000, seed=5))
    train(folder / "plain", *RUN)
    seen = {(folder / "plain" / "model.safetensors").read_bytes(): "none"}
    for number, arguments in enumerate(
        [
            ["--seed", 1],
            ["--lr", 0.005],
            ["--late-lr", 0.001],
            ["--optimizer", "sgd"],
            ["--optimizer", "sgd", "--momentum", 0.5],
            ["--weight-decay", 0.01],
            ["--optimizer", "adamw", "--weight-decay", 0.01],
            ["--late-weight-decay", 0.1],
            ["--clip", 0.1],
            ["--schedule", "cosine"],
            ["--late-schedule", "steps:1:0.5"],
            ["--base-gradient", "mean"],
            ["--sigma", 0.1],
            ["--late", "head"],
            ["--late", "rank1,head"],
            ["--late", "rank1,head", "--rank1-start", "normal:0.1"],
            ["--embedding-factors"],
            ["--release-momentum", "zero"],
            ["--coupling", "swap:0.5", "--coupling-every", 1],
            ["--sam", 0.1],
            ["--member-data", "same"],
            ["--member-data", "whole"],
            ["--late", "none"],
            ["--release-epoch", 0],
            ["--release-step", 20],
            ["--batch", 5],
            ["--bptt", 20],
            ["--pre-batch", "batch"],
            ["--pre-batch", 7],
            ["--hidden", 24],
            ["--layers", 2],
            ["--embedding", 4],
            ["--dropout", 0.3],
            ["--precision", "bf16"],
            ["--average", "swa"],
            ["--average", "ema:0.9", "--average-every", 3],
            ["--schedule", "iterations:warmup:10/triangular-cycles:8:0.002:0.0001"],
            ["--split", "80,10,10"],
            ["--data", folder / "plain" / "model.safetensors"],
            ["--valid", folder / "other"],
            ["--held-out", 2000],
            ["--held-out", 2000, "--collapse", "fitted"],
        ]
    ):
        out = folder / str(number)
        train(out, *RUN, *arguments)
        model = (out / "model.safetensors").read_bytes()
        check(model not in seen, f"{arguments} trains the same network as {seen.get(model)}")
        seen[model] = arguments
        scores = [value for value in summary(out).values() if isinstance(value, float)]
        check(scores and all(map(math.isfinite, scores)), f"{arguments}: {summary(out)}")
        check({path.name for path in out.iterdir()} == FILES, f"{arguments}: the folder holds {sorted(out.iterdir())}")


def keeps(folder):
    """None of these changes what is computed."""
    train(folder / "plain", *RUN)
    expected = results(folder / "plain")
    for number, arguments in enumerate(
        [
            ["--checkpoint-minutes", "0.000001"],
            ["--late-lr", 0.01],
            ["--late-schedule", "anneal"],
            ["--member-chunk", 3],
            ["--pre-batch", 30],
            ["--sample", 10],
            ["--eval-every", 1],
        ]
    ):
        out = folder / str(number)
        train(out, *RUN, *arguments)
        check_same(out, expected, arguments)
    train(folder / "chunk", *RUN, "--member-chunk", 1)
    for row, other in zip(metrics(folder / "chunk"), metrics(folder / "plain")):
        # Rounding of float32 sums (6e-8) grows over the 200 steps of a run at a rate of 0.01.
        check(
            abs(float(row["train_loss"]) - float(other["train_loss"])) < 1e-2,
            f"--member-chunk 1: {row} instead of {other}",
        )


def scores(folder):
    """What is in summary.json and metrics.csv is what was printed; late-phase weights are saved folded into a plain
    network."""
    printed, _ = train(folder / "run", *TINY, "--eval-ensemble")
    found = summary(folder / "run")
    names = ["valid_bpc", "test_bpc", "valid_ece", "test_ece"]
    for row, what in {
        "before release": "before_release",
        "ensemble of members": "ensemble",
        "collapsed, one plain network": "collapsed",
        "collapsed (parameters)": "collapsed_parameters",
    }.items():
        check(
            table(printed)[row] == [round(found[f"{name}_{what}"], 4) for name in names], f"{row}: {found}\n{printed}"
        )
    check(len(found["valid_bpc_members"]) == len(found["test_bpc_members"]) == 3, found)
    check(found["test_bpc_collapsed"] < found["test_bpc_before_release"] < 4, found)
    rows = metrics(folder / "run")
    check([row["phase"] for row in rows] == ["base", "base", "late", "late"], rows)
    for name in ["valid_bpc", "valid_ece"]:
        for column, what in {name: f"{name}_collapsed", f"{name}_ensemble": f"{name}_ensemble"}.items():
            check(float(rows[-1][column]) == float(f"{found[what]:.9g}"), f"{column}: {rows[-1]} but {found}")
    check([bool(row["valid_bpc_ensemble"]) for row in rows] == [False, False, True, True], rows)
    check(all(abs(float(row["train_bpc"]) - float(row["train_loss"]) / math.log(2)) < 1e-6 for row in rows), rows)


def ensembles_that_are_not_scored(folder):
    """--eval-ensemble is refused where it would do nothing."""
    for more, why in [
        (["--members", 1], "one member has no weights of its own"),
        (["--serve", "ensemble"], "the ensemble is scored in any case"),
        (["--release-epoch", 2], "no members are released before the last epoch ends"),
    ]:
        refused(*RUN, "--eval-ensemble", *more, says=["--eval-ensemble does nothing here: ", why])


def one_member(folder):
    for number, arguments in enumerate([["--members", 1, "--batch", 30], ["--late", "none"], ["--release-epoch", 2]]):
        out = folder / str(number)
        printed, _ = train(out, *RUN, *arguments)
        check("no late-phase weights will be released" in printed and "1 x 30 streams" in printed, printed)
        found = summary(out)
        check(found["members"] == 1 and found["valid_bpc_before_release"] is None, found)
        check(found["test_bpc_members"] == [found["test_bpc_collapsed"]], found)
        check(
            (out / "model.safetensors").read_bytes() == (folder / "0" / "model.safetensors").read_bytes(),
            f"{arguments}: another network",
        )
    out = folder / "released"
    printed, _ = train(out, *RUN, "--members", 1, "--batch", 30, "--release-one")
    check("after 1 of 2 epochs the one member that is released: 1 x 30 streams" in printed, printed)
    check(summary(out)["parameters_late_per_member"] > 0, summary(out))
    check(
        (out / "model.safetensors").read_bytes() != (folder / "0" / "model.safetensors").read_bytes(),
        "rank-1 factors of one member changed nothing",
    )


def evaluation(folder):
    """A checkpoint, and the exported model, score what the run's summary says."""
    for name, arguments in {
        "released": ["--average", "swa", "--schedule", "cosine-cycles:0.5", "--snapshots", 3],
        "deep": ["--layers", 2, "--late", "head"],
        "factors": ["--embedding-factors"],
        "bf16": ["--precision", "bf16"],
    }.items():
        out = folder / name
        printed, _ = train(out, *RUN, *arguments)
        before = contents(out)
        done = run("--eval", out / "checkpoint.lpw", "--threads", 1, "--data", TEXT)
        check(
            done.returncode == 0 and table(done.stdout) == table(printed),
            f"{name}: {done.stdout}{done.stderr}\ninstead of\n{printed}",
        )
        precision = ["--precision", "bf16"] if name == "bf16" else []
        done = run("--eval", out / "model.safetensors", "--threads", 1, "--data", TEXT, *precision)  # knows its sizes
        collapsed = table(printed)["collapsed, one plain network"]
        check(
            done.returncode == 0 and table(done.stdout) == {"plain network": collapsed},
            f"{name}: {done.stdout}{done.stderr}",
        )
        check("scored on 3998 characters\n" in done.stdout, done.stdout)
        check(contents(out) == before, f"{name}: evaluating changed the folder")


def evaluation_by_held_out_text(folder):
    """What chooses does so by the run's own held-out bytes, whatever other texts are scored."""
    out = folder / "run"
    printed, _ = train(out, *RUN, "--held-out", 2000, "--best")
    evaluate = ["--eval", out / "checkpoint.lpw", "--threads", 1]
    done = run(*evaluate, "--data", TEXT)
    check(done.returncode == 0 and table(done.stdout) == table(printed), f"{done.stdout}{done.stderr}not\n{printed}")
    (folder / "other").write_bytes(make_text(4000, seed=5))
    (folder / "train").write_bytes(TEXT.read_bytes()[:36000])
    others = ["--valid", folder / "other", "--test", folder / "other"]
    for data in [[], ["--data", TEXT]]:
        says = ["--best chooses by the last 2000 bytes of the training text", "34000 bytes, CRC-32C", "--split"]
        refused(*evaluate, *data, *others, says=says)
    done = run(*evaluate, "--data", folder / "train", *others)
    (row,) = [line for line in printed.splitlines() if line.startswith("  collapsed, one plain network")]
    left = row.split("  ")[1]
    check(done.returncode == 0 and f"\n  {left}  " in done.stdout, f"not {left}: {done.stdout}{done.stderr}")
    check("scored on 7998 characters" in done.stdout, done.stdout)
    train(folder / "mean", *RUN, "--held-out", 2000)
    evaluate[1] = folder / "mean" / "checkpoint.lpw"
    check(run(*evaluate, *others).returncode == 0, "other texts are refused where nothing is chosen")
    refused(*evaluate, *others, "--collapse", "fitted", says="--collapse fitted chooses by the last 2000 bytes")


def explicit_texts(folder):
    """Files for validation and test replace their shares, which are trained on."""
    text = TEXT.read_bytes()
    first, second = len(text) * 90 // 100, len(text) * 95 // 100
    for name, part in {"train": text[:first], "valid": text[first:second], "test": text[second:]}.items():
        (folder / name).write_bytes(part)
    train(folder / "split", *RUN)
    files = ["--data", folder / "train", "--valid", folder / "valid", "--test", folder / "test"]
    printed, _ = train(folder / "files", *RUN, *files)
    check_same(
        folder / "files", {part: results(folder / "split")[part] for part in ["summary", "metrics"]}, "parts as files"
    )
    check(f"{first} training, {second - first} validation and {len(text) - second} test bytes" in printed, printed)


def repetition(folder):
    """config.toml holds the whole run, wherever it is read from."""
    here = os.getcwd()
    os.chdir(TEXT.parent)
    try:
        train(
            folder / "first",
            *RUN,
            "--data",
            TEXT.name,
            "--valid",
            TEXT.name,
            "--clip",
            0.3,
            "--sigma",
            0.01,
            "--release-step",
            30,
        )
    finally:
        os.chdir(here)
    train(folder / "again", "--config", folder / "first" / "config.toml")
    check_same(folder / "again", results(folder / "first"), "repeated")
    check(
        (folder / "again" / "config.toml").read_text() == (folder / "first" / "config.toml").read_text(),
        "config.toml changed",
    )


def sampling(folder):
    def sampled(*arguments):
        done = run("--eval", folder / "run" / "model.safetensors", "--data", TEXT, "--threads", 1, *arguments)
        check(done.returncode == 0, done.stderr)
        return done.stdout[done.stdout.index("plain network") :].split("\n", 1)[1].strip("\n")

    printed, _ = train(folder / "run", *TINY, "--sample", 200)
    text = sampled("--sample", 200)
    check(printed.rstrip("\n").endswith(text) and 150 < len(text) < 900, f"the run printed\n{printed}\n--eval\n{text}")
    check(all(c == "\n" or c == "\t" or c.isprintable() for c in text), repr(text))
    check(sampled("--sample", 200, "--seed", 3) != text, "--seed does nothing")
    check(sampled() == "", "text without --sample")
    certain = sampled("--sample", 300, "--temperature", 0)
    check(certain == sampled("--sample", 300, "--temperature", 0, "--seed", 3), "chance at temperature 0")
    words = {word for word in make_text(1000).decode().split() if word.isalpha()}
    check(sum(word in words for word in certain.split()) > 10, f"the likeliest text is\n{certain}")
    check("\\x" in sampled("--sample", 300, "--temperature", 100), "no byte of any value at a high temperature")


def configurations(folder):
    """Each is read as what its name says, on a small text."""
    files = sorted((pathlib.Path(__file__).resolve().parents[2] / "examples" / "configs").glob("enwik8*.toml"))
    check(len(files) == 4, f"expected 4 configurations, found {files}")
    for path in files:
        check(f"--config examples/configs/{path.name}" in path.read_text(), f"{path.name}: command of another")
        done = run("--config", path, "--data", TEXT, "--bptt", 10, "--dry-run")
        check(done.returncode == 0 and "LSTM 1 x 500" in done.stdout, f"{path.name}: {done.stdout}{done.stderr}")
        plan = (
            "10 members, each on minibatches of its own: 10 x 10 streams"
            if "late-phase" in path.name
            else f"{'the one member that is released: ' * ('one-member' in path.name)}1 x 100 streams"
        )
        check(plan in done.stdout, f"{path.name}: plan is not {plan!r}:\n{done.stdout}")
        check(('average = "none"' in done.stdout) == ("swa" not in path.name), f"{path.name}: {done.stdout}")


def own_source(folder):
    """Without --data the text is the library's headers, which the program holds: moved away, it still trains."""
    program = folder / "enwik8"
    shutil.copy(PROGRAM, program)
    small = ["--split", "4,1,95", "--dry-run", "--hidden", "8", "--batch", "2", "--members", "2", "--bptt", "10"]
    done = subprocess.run(
        [program, *small], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    check(done.returncode == 0 and "the headers of lpw: " in done.stdout, done.stdout + done.stderr)
    headers = pathlib.Path(__file__).resolve().parents[2] / "include" / "lpw"
    size = sum(path.stat().st_size for path in headers.rglob("*.hpp"))
    numbers = [int(word) for word in done.stdout.splitlines()[0].replace(",", "").split() if word.isdigit()][-3:]
    check(
        sum(numbers) == size,
        f"texts of {numbers} bytes, the headers have {size}: has the program been built since they changed?",
    )


main(
    changes,
    keeps,
    scores,
    ensembles_that_are_not_scored,
    one_member,
    evaluation,
    evaluation_by_held_out_text,
    explicit_texts,
    repetition,
    sampling,
    configurations,
    own_source,
)
