"""Usage: options.py CIFAR
Every option does something to a run, or nothing where it must not, and a run can be repeated and evaluated from what it
leaves."""

import json
import math
import re

from trainer import (
    FILES,
    check,
    check_same,
    contents,
    main,
    metrics,
    refused,
    results,
    run,
    start,
    summary,
    table,
    train,
)

RUN = (
    "--model wrn-10-1 --train-subset 100 --test-subset 50 --batch 10 "
    "--epochs 2 --members 2 --release-epoch 1 --threads 1"
).split()
SCORES = ["before release", "ensemble of members", "collapsed (parameters)", "collapsed, one plain network"]
SUMMARY = ["before_release", "ensemble", "collapsed_parameters", "collapsed"]


def saved_tensor(folder, name):
    """The bytes of a tensor of a run's model."""
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    first, last = json.loads(content[8 : 8 + length])[name]["data_offsets"]
    return content[8 + length + first : 8 + length + last]


def finite(value):
    return (
        all(map(finite, value))
        if isinstance(value, list)
        else value is None or not isinstance(value, float) or math.isfinite(value)
    )


def changes(folder):
    """Each of these trains another network than the run without it, and a sound one."""
    train(folder / "plain", *RUN)
    seen = {(folder / "plain" / "model.safetensors").read_bytes(): "none"}
    for number, arguments in enumerate(
        [
            ["--seed", 1],
            ["--lr", 0.05],
            ["--late-lr", 0.01],
            ["--momentum", 0],
            ["--momentum", 0.5],
            ["--weight-decay", 0],
            ["--late-weight-decay", 0.1],
            ["--schedule", "cosine"],
            ["--schedule", "steps:1:0.1"],
            ["--schedule", "anneal:0:2:0.001"],
            ["--late-schedule", "steps:1:0.5"],
            ["--base-gradient", "mean"],
            ["--sigma", 0.1],
            ["--late", "head"],
            ["--late", "batchnorm"],
            ["--late", "rank1"],
            ["--late", "batchnorm,rank1"],
            ["--late", "batchnorm,additive"],
            ["--late", "rank1", "--rank1-start", "signs"],
            ["--late", "rank1", "--rank1-start", "normal:0.1"],
            ["--late", "rank1", "--factor-decay", "one", "--late-weight-decay", 0.1],
            ["--release-momentum", "zero"],
            ["--release-epoch", 0, "--release-every", 1],
            ["--coupling", "pull:0.5", "--coupling-every", 1],
            ["--coupling", "elastic", "--coupling-every", 1],
            ["--coupling", "elastic", "--coupling-every", 1, "--elastic-served", "members"],
            ["--sam", 0.1],
            ["--sam", 0.1, "--sam-adaptive", "--sam-weights", "late"],
            ["--member-data", "same"],
            ["--late", "all", "--release-epoch", 0, "--release-start", "redraw", "--member-data", "whole"],
            ["--late", "none"],
            ["--release-epoch", 0],
            ["--batch", 5],
            ["--label-smoothing", 0.1],
            ["--dropout", 0.3],
            ["--cutout", 8],
            ["--augment", "none"],
            ["--normalization", "imagenet"],
            ["--precision", "bf16"],
            ["--average", "swa"],
            ["--average", "swa", "--average-start", 1, "--lr", 0.05],
            ["--average", "ema:0.9"],
            ["--average", "ema:0.9:0.5", "--average-every", 3],
            ["--average", "lawa:2", "--average-by", "steps"],
            ["--late-schedule", "warmup:0.5/triangular-cycles:0.5:0.1:0.01"],
            ["--optimizer", "adam", "--lr", 0.001],
            ["--clip", 0.1],
            ["--release-step", 5],
            ["--freeze", "layer1.*"],
            ["--group", "fc.*:lr=0.01"],
            ["--group", "fc.*:weight-decay=0.1", "--group", "conv1.*:schedule=steps:1:0.1"],
            ["--optimizer", "adamw", "--lr", 0.001, "--weight-decay", 0.1],
            ["--optimizer", "adam", "--lr", 0.001, "--weight-decay", 0.1],
            ["--train-subset", 80],
            ["--collapse", "parameters"],
            ["--held-out", 20],
            ["--held-out", 20, "--collapse", "fitted"],
            ["--convolution", "direct"],
            ["--model", "wrn-10-2"],
            ["--model", "wrn-16-1"],
            ["--model", "hyper-wrn-10-1", "--late", "templates"],
            ["--model", "hyper-wrn-10-1", "--late", "templates", "--late-weight-decay", 0],
            ["--model", "hyper-wrn-10-1", "--late", "templates", "--coefficient-lr", 0.01],
            ["--model", "hyper-wrn-10-1", "--late", "templates", "--coefficient-schedule", "steps:1:0.5"],
            ["--model", "hyper-wrn-10-1", "--late", "batchnorm"],
        ]
    ):
        out = folder / str(number)
        train(out, *RUN, *arguments)
        model = (out / "model.safetensors").read_bytes()
        check(model not in seen, f"{arguments} trains the same network as {seen.get(model)}")
        seen[model] = arguments
        check(finite(list(summary(out).values())), f"{arguments}: {summary(out)}")
        check(all(math.isfinite(float(row["train_loss"])) for row in metrics(out)), f"{arguments}: {metrics(out)}")
        check({path.name for path in out.iterdir()} == FILES, f"{arguments}: the folder holds {sorted(out.iterdir())}")


def keeps(folder):
    """None of these changes what is computed; a member chunk only the order of sums."""
    train(folder / "plain", *RUN)
    expected = results(folder / "plain")
    for number, arguments in enumerate(
        [
            ["--checkpoint-minutes", "0.000001"],
            ["--late-lr", 0.1],
            ["--late-weight-decay", 5e-4],
            ["--late-schedule", "constant"],
            ["--member-chunk", 2],
            ["--device", "cpu"],
            ["--deterministic"],
            ["--test-subset", 50],
        ]
    ):
        out = folder / str(number)
        train(out, *RUN, *arguments)
        check_same(out, expected, arguments)
    for arguments in [["--member-chunk", 1], ["--threads", 2]]:
        out = folder / arguments[0]
        train(out, *RUN, *arguments)
        for row, other in zip(metrics(out), metrics(folder / "plain")):
            # Rounding of float32 sums (6e-8) grows over the 15 steps of a run at a learning rate of 0.1.
            check(
                abs(float(row["train_loss"]) - float(other["train_loss"])) < 1e-2,
                f"{arguments}: {row} instead of {other}",
            )


def plain_network(folder):
    """One member, or no late-phase weights: an ordinary network, and it says so."""
    expected = None
    for number, arguments in enumerate(
        [["--members", 1], ["--late", "none"], ["--release-epoch", 2], ["--release-epoch", 7]]
    ):
        out = folder / str(number)
        printed, _ = train(out, *RUN, *arguments)
        check("no late-phase weights will be released" in printed, printed)
        found = summary(out)
        check(
            found["members"] == 1
            and found["parameters_late_per_member"] == 0
            and found["test_accuracy_before_release"] is None,
            found,
        )
        check(found["test_accuracy_members"] == [found["test_accuracy_collapsed"]], found)
        check([row["phase"] for row in metrics(out)] == ["base", "base"], metrics(out))
        expected = expected or results(out)
        check_same(out, expected, arguments)
    # released it is the same network, in two phases; another parametrisation is another network
    for late in ["batchnorm,head", "rank1"]:
        out = folder / late
        printed, _ = train(out, *RUN, "--members", 1, "--release-one", "--late", late)
        check("after 1 of 2 epochs the one member that is released: 1 x 10" in printed, printed)
        check([row["phase"] for row in metrics(out)] == ["base", "late"], metrics(out))
        check(summary(out)["members"] == 1 and summary(out)["parameters_late_per_member"] > 0, summary(out))
        same = (out / "model.safetensors").read_bytes() == expected["model"]
        check(same == (late != "rank1"), f"{late} of one member: {'the' if same else 'not the'} plain network")


def phases(folder):
    averaging = ["--average", "swa", "--average-start", 2, "--serve", "ensemble"]
    train(folder / "run", *RUN, "--epochs", 4, *averaging, "--late-lr", 0.05, "--schedule", "steps:3:0.1")
    rows = metrics(folder / "run")
    check([row["epoch"] for row in rows] == ["1", "2", "3", "4"], rows)
    check([row["phase"] for row in rows] == ["base", "late", "late+swa", "late+swa"], rows)
    check([float(row["learning_rate"]) for row in rows] == [0.1, 0.1, 0.1, 0.01], rows)
    check([float(row["late_learning_rate"]) for row in rows] == [0.05, 0.05, 0.05, 0.005], rows)
    check(all(bool(row["test_nll_ensemble"]) == (row["epoch"] != "1") for row in rows), rows)
    check(all(0 <= float(row["test_ece"]) <= 1 and float(row["test_nll"]) > 0 for row in rows), rows)
    check(
        summary(folder / "run")["members"] == 2 and len(summary(folder / "run")["test_nll_members"]) == 2,
        summary(folder / "run"),
    )


def coefficient_rates(folder):
    """metrics.csv has the rate that coefficients step with, and none where they have no rate of their own."""
    hyper = ["--model", "hyper-wrn-10-1", "--late", "templates", "--late-lr", 0.05]
    train(folder / "own", *RUN, *hyper, "--coefficient-lr", 0.001, "--coefficient-schedule", "steps:1:0.1")
    column = [row["coefficient_learning_rate"] for row in metrics(folder / "own")]
    check(column == ["0.001", "0.0001"], column)
    train(folder / "shared", *RUN, *hyper)
    check(all(row["coefficient_learning_rate"] == "" for row in metrics(folder / "shared")), "a rate of their own")


def parameters(folder):
    """--group and --freeze step what they name otherwise, in a run that is repeated and resumed too; a name that is
    none is refused with what is close to it."""
    tensor = lambda run: saved_tensor(run, "conv1.weight")
    groups = ["--group", "fc.*,bn.*:lr=0.01,weight-decay=0", "--group", "layer1.*:schedule=steps:1:0.1"]
    options = [*RUN, "--schedule", "constant", "--freeze", "conv1.*,*.nothing-like-this", *groups]
    refused("--dry-run", *options, says=["--freeze: no parameter is called '*.nothing-like-this'"])
    options[-5] = "conv1.*"
    train(folder / "one", *options, "--epochs", 1)
    train(folder / "two", *options)
    check(tensor(folder / "one") == tensor(folder / "two"), "conv1 is not frozen")
    train(folder / "free", *options, "--freeze", "layer2.*")
    check(tensor(folder / "free") != tensor(folder / "two"), "what is not frozen does not move")
    text = (folder / "two" / "config.toml").read_text()
    check('freeze = [ "conv1.*" ]' in text and 'group = [ "fc.*,bn.*:lr=0.01,weight-decay=0", "lay' in text, text)
    train(folder / "again", "--config", folder / "two" / "config.toml")
    check_same(folder / "again", results(folder / "two"), "repeated from its config.toml")
    train(folder / "one", "--resume", "--epochs", 2)
    check_same(folder / "one", results(folder / "two"), "resumed for an epoch more")
    says = "belongs to a run with other options: group was"
    refused("--resume", "--out", folder / "two", "--epochs", 3, "--group", "fc.*:lr=0.5", says=says)
    config = folder / "config.toml"
    config.write_text("group = 'fc.*:frozen'\nfreeze = 'conv1.weight'\n")
    printed = run("--dry-run", *RUN, "--config", config).stdout
    check('group = [ "fc.*:frozen" ]' in printed, printed)
    for group, says in {
        "layr1.*:lr=0.1": ["--group: no parameter is called 'layr1.*'", "close to it: 'layer1."],
        "fc.*": "--group: expected NAMES:SETTINGS, such as fc.*:lr=0.01,weight-decay=0, found fc.*",
        "fc.*:rate=1": "--group: expected lr=NUMBER, weight-decay=NUMBER, frozen, or as the last one schedule=",
        "fc.*:lr=-1": "--group: lr: expected a number from 0 to",
        "fc.*:frozen,lr=1": "--group: what is frozen has no rates",
        "fc.*:schedule=curve": "--group: ",
        "fc.*:lr=1,lr=1": "--group: lr is there twice",
    }.items():
        refused("--dry-run", *RUN, "--group", group, says=says)
    refused("--dry-run", *RUN, "--factor-decay", "one", says="--factor-decay does nothing here: no rank-1 factors")


def late_phase_of_one(folder):
    """One released member's late-phase weights ascend, and are drawn anew, as several members' are."""
    one = [*RUN, "--members", 1, "--release-one", "--dry-run"]
    for arguments in [
        ["--late", "rank1", "--sam", 0.05, "--sam-weights", "late"],
        ["--late", "head", "--release-epoch", 0, "--release-start", "redraw"],
    ]:
        done = run(*one, *arguments)
        check(done.returncode == 0, done.stderr)
        refused(*one, *arguments, "--release-epoch", 2, says=f"{arguments[-2]} does nothing here: no members are")
    refused(*one, "--coupling", "pull:0.1", says="--coupling does nothing here: there is one member, without others")


def smaller_batches(folder):
    """Members share the samples there are: 2 x 80 would exceed the 100 images."""
    printed, _ = train(folder / "run", *RUN, "--batch", 80)
    check("2 x 50 = 100 samples an iteration" in printed and "not 80 a member" in printed, printed)


def evaluation(folder):
    """A checkpoint, and the exported model, score what the run's summary says."""
    for name, arguments in {
        "released": ["--average", "ema:0.9:0.5", "--schedule", "cosine-cycles:0.5", "--snapshots", 3],
        "plain": ["--late", "none"],
        "bf16": ["--precision", "bf16"],
        "templates": ["--model", "hyper-wrn-10-1", "--late", "templates", "--average", "swa", "--average-start", 1],
    }.items():
        out = folder / name
        printed, _ = train(out, *RUN, *arguments)
        before = contents(out)
        found = summary(out)
        done = run("--eval", out / "checkpoint.lpw", "--threads", 1)
        check(
            done.returncode == 0 and table(done.stdout) == table(printed),
            f"{name}: {done.stdout}{done.stderr}\ninstead of\n{printed}",
        )
        for row, what in zip(SCORES, SUMMARY) if name != "plain" else [("plain network", "collapsed")]:
            values = [round(found[f"test_{score}_{what}"], 4) for score in ["accuracy", "nll", "ece"]]
            check(table(printed)[row] == values, f"{name}: {row} is {values} in summary.json, printed:\n{printed}")
        done = run(
            "--eval", out / "checkpoint.lpw", "--threads", 1, "--test-subset", 40, "--lr", 0.1
        )  # with other images, and what was so
        other = table(done.stdout)
        check(done.returncode == 0 and "before release" not in other, f"{name}: {done.stdout}{done.stderr}")
        check("scored on 40 samples\n" in done.stdout, done.stdout)
        check(
            other[list(other)[-1]] != table(printed)[list(other)[-1]],
            f"{name}: --test-subset does nothing:\n{done.stdout}",
        )
        precision = ["--precision", "bf16"] if name == "bf16" else []
        done = run(
            "--eval", out / "model.safetensors", "--test-subset", 50, "--threads", 1, *precision
        )  # knows its model
        collapsed = table(printed)["plain network" if name == "plain" else "collapsed, one plain network"]
        check(
            done.returncode == 0 and table(done.stdout) == {"plain network": collapsed},
            f"{name}: {done.stdout}{done.stderr}",
        )
        check("scored on 50 samples\n" in done.stdout, done.stdout)
        averaged = {"released": ", ema", "templates": ", swa"}.get(name, "")
        check(f"\n  ensemble of members{averaged}  " in printed or name == "plain", printed)
        check(contents(out) == before, f"{name}: evaluating changed the folder")


def repetition(folder):
    """config.toml holds the whole run, wherever it is read from."""
    train(
        folder / "first",
        *RUN,
        "--average",
        "lawa:2",
        "--average-every",
        2,
        "--average-by",
        "steps",
        "--dropout",
        0.1,
        "--schedule",
        "anneal:1:2:0.001",
        "--lr",
        0.123456789,
        "--sigma",
        0.01,
    )
    train(folder / "init", *RUN, "--init", folder / "first" / "model.safetensors", "--release-epoch", 0, "--lr", 0.001)
    for name in ["first", "init"]:
        again = folder / f"{name}-again"
        train(again, "--config", folder / name / "config.toml")
        check_same(again, results(folder / name), f"{name} repeated")
        check((again / "config.toml").read_text() == (folder / name / "config.toml").read_text(), "config.toml changed")
    before, start = summary(folder / "init")["test_nll_before_release"], summary(folder / "first")["test_nll_collapsed"]
    check(before == start, f"--init starts from nll {before}, the saved network has {start}")
    train(folder / "other", "--config", folder / "first" / "config.toml", "--seed", 5)
    check("seed = 5\n" in (folder / "other" / "config.toml").read_text(), "the command line does not override the file")
    check(
        results(folder / "other")["model"] != results(folder / "first")["model"],
        "the seed of the command line has no effect",
    )


def resume_without_a_checkpoint(folder):
    for line in ["no checkpoint in", "all 2 epochs are trained already"]:
        printed, _ = train(folder / "run", *RUN, "--resume")
        check(line in printed, f"no {line!r} in {printed}")


def resume_may_change_some(folder):
    """Threads, and minutes between checkpoints, are no part of a run's result."""
    process = start(*RUN, "--out", folder / "run", "--epochs", 3)
    for line in process.stdout:
        if line.startswith("epoch 1"):
            break
    process.kill()
    process.communicate()
    done = run("--out", folder / "run", "--resume", "--threads", 2, "--checkpoint-minutes", 5)
    check(done.returncode == 0 and "2 threads" in done.stdout, done.stdout + done.stderr)


def evaluating_less_often(folder):
    """--eval-every scores fewer epochs, the last among them, and changes nothing else; a run may be resumed in
    between."""
    arguments = [*RUN, "--epochs", 5, "--release-epoch", 2]
    train(folder / "each", *arguments)
    printed, _ = train(folder / "third", *arguments, "--eval-every", 3)
    expected = results(folder / "each")
    for row, scored in zip(expected["metrics"], [False, False, True, False, True]):
        for name in ["test_accuracy", "test_nll", "test_ece"]:
            row[name] = row[name] if scored else ""
        (line,) = [line for line in printed.splitlines() if line.startswith(f"epoch {row['epoch']}/5  ")]
        check((" test " in line) == scored and "ETA" in line, line)
    check_same(folder / "third", expected, "--eval-every 3")
    check("eval-every = 3\n" in (folder / "third" / "config.toml").read_text(), "config.toml does not say so")
    process = start(*arguments, "--out", folder / "killed", "--eval-every", 3)
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    process.kill()
    process.communicate()
    train(folder / "killed", "--resume")
    check_same(folder / "killed", expected, "--eval-every 3, killed and resumed")


def more_epochs(folder):
    """A finished run goes on for more epochs where its schedule does not depend on their number, and is as if it had
    been planned so."""
    for name, arguments in {
        "constant": ["--schedule", "constant", "--late-schedule", "steps:1,3:0.5"],
        "averaged": ["--schedule", "anneal:1:4:0.01", "--average", "swa", "--average-start", 1],
    }.items():
        train(folder / f"{name}-planned", *RUN, *arguments, "--epochs", 4)
        train(folder / name, *RUN, *arguments)
        printed, _ = train(folder / name, "--resume", "--epochs", 4)
        check("resuming in epoch 3/4" in printed, printed)
        check_same(folder / name, results(folder / f"{name}-planned"), f"{name}: four epochs after two")
        check(
            "all 4 epochs are trained already" in train(folder / name, "--resume")[0],
            f"{name}: its new length was not kept",
        )
        refused("--resume", "--out", folder / name, "--epochs", 3, says="epochs was 4, now 3")
    train(folder / "late", *RUN, "--schedule", "constant", "--release-epoch", 3)  # more epochs bring the release
    train(folder / "late", "--resume", "--epochs", 4)
    train(folder / "late-planned", *RUN, "--schedule", "constant", "--release-epoch", 3, "--epochs", 4)
    check_same(folder / "late", results(folder / "late-planned"), "a release past the first end")
    for name, arguments, cure in [
        ("anneal", [], "anneal:1:1.8:0.001"),
        ("late-cosine", ["--schedule", "constant", "--late-schedule", "cosine"], "cosine:2"),
    ]:
        train(folder / name, *RUN, *arguments)
        option = "late-schedule" if name == "late-cosine" else "schedule"
        refused("--resume", "--out", folder / name, "--epochs", 4, says=[f'{option} was "{cure}", now'])
        before = (folder / name / "checkpoint.lpw").read_bytes()
        printed, _ = train(folder / name, "--resume", "--epochs", 4, f"--{option}", cure)
        check("resuming in epoch 3/4" in printed and before != (folder / name / "checkpoint.lpw").read_bytes(), printed)


def numbers(folder):
    """Numbers are decimal, in files too, and what CLI11 makes of them is what was written."""
    written = {
        "epochs": "010",
        "batch": "+7",
        "members": "08",
        "release-epoch": "0009",
        "seed": "18446744073709551615",
        "lr": ".5",
        "sigma": "1e-1",
        "weight-decay": "-0",
        "late-lr": "00.25",
        "average": "swa",
        "average-start": "007",
        "cutout": "08",
        "test-subset": "010",
        "train-subset": "0100",
        "eval-every": "02",
        "threads": "01",
        "checkpoint-minutes": "012.5",
        "clip": "1E1",
    }
    read = {
        "epochs": "10",
        "batch": "7",
        "members": "8",
        "release-epoch": "9",
        "seed": "18446744073709551615",
        "lr": "0.5",
        "sigma": "0.1",
        "weight-decay": "0",
        "late-lr": "0.25",
        "average": '"swa"',
        "average-start": "7",
        "cutout": "8",
        "test-subset": "10",
        "train-subset": "100",
        "eval-every": "2",
        "threads": "1",
        "checkpoint-minutes": "12.5",
        "clip": "10",
    }
    # TOML has fewer forms: what is none of its numbers stands in quotes, as a seed beyond its integers does in
    # config.toml.
    number = r"[+-]?(0|[1-9]\d{0,17})(\.\d+)?([eE][+-]?\d+)?"
    in_toml = {name: text if re.fullmatch(number, text) else f'"{text}"' for name, text in written.items()}
    check(sum(text[0] != '"' for text in in_toml.values()) >= 4, f"hardly a number of TOML among {in_toml}")
    lines = "".join(f"{name} = {text}\r\n" for name, text in in_toml.items())
    (folder / "config.toml").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    read["seed"] = f'"{read["seed"]}"'
    for arguments in [[f"--{name}={text}" for name, text in written.items()], ["--config", folder / "config.toml"]]:
        done = run("--dry-run", "--model", "wrn-10-1", *arguments)
        check(done.returncode == 0, done.stderr)
        for name, text in read.items():
            check(
                f"\n{name} = {text}\n" in done.stdout, f"{name} = {written[name]} is not read as {text}:\n{done.stdout}"
            )
    (folder / "config.toml").write_text("seed = 18446744073709551615\n")  # as files of before have it
    done = run("--dry-run", "--model", "wrn-10-1", "--config", folder / "config.toml")
    check(done.returncode == 0 and f"seed = {read['seed']}" in done.stdout, done.stdout + done.stderr)


def idle_options(folder):
    """An option that does nothing is refused, also from a file, unless the command line has set it aside there;
    config.toml has none."""
    config = folder / "config.toml"
    config.write_text("momentum = 0.5\n")
    done = run("--dry-run", *RUN, "--config", config, "--optimizer", "adam")
    check(done.returncode == 0 and "\nmomentum" not in done.stdout, done.stdout + done.stderr)
    refused(
        "--dry-run",
        *RUN,
        "--config",
        config,
        "--optimizer",
        "adam",
        "--momentum",
        0.9,
        says="--momentum does nothing here: adam",
    )
    config.write_text('momentum = 0.5\noptimizer = "adam"\n')
    refused("--dry-run", *RUN, "--config", config, says="--momentum does nothing here: adam")
    # what files of before say of what they leave alone
    config.write_text('momentum = 0.9\noptimizer = "adam"\nconvert = false\nswa-start = -1\n')
    done = run("--dry-run", *RUN, "--config", config)
    check(
        done.returncode == 0 and "\nmomentum" not in done.stdout and "convert" not in done.stdout,
        done.stdout + done.stderr,
    )
    config.write_text("swa-start = 1\n")
    says = ["config.toml:1: there is no option swa-start any more", 'average = "swa" with average-start = EPOCH']
    refused("--dry-run", *RUN, "--config", config, says=says)


def groups_and_lists(folder):
    """Options in a file may stand in groups, and parts that commas join in a list."""
    config = folder / "config.toml"
    plain = 'epochs = 3\nlate = "head,rank1"\nmembers = 2\nrelease-epoch = 1\n'
    grouped = "[training]\nepochs = 3\n[late-phase]\nmembers = 2\nlate = ['head',\n 'rank1']\nrelease-epoch = 1\n"
    dotted = "training.epochs = 3\nlate-phase = {members = 2, late = ['head', 'rank1'], release-epoch = 1}\n"
    shown = []
    for text in [plain, grouped, dotted]:
        config.write_text(text)
        done = run("--dry-run", "--model", "wrn-10-1", "--config", config)
        check(done.returncode == 0 and 'late = [ "head", "rank1" ]' in done.stdout, done.stdout + done.stderr)
        shown.append(done.stdout)
    check(shown[0] == shown[1] == shown[2], f"{shown[1]}\nor\n{shown[2]}\ninstead of\n{shown[0]}")
    for text, says in [
        ("[section]\nepochs = 4\n", ["config.toml:1: ", "no group of options [section]", "[training], [late-phase]"]),
        ("epochs = 4\n[training]\nepochs = 5\n", ["config.toml:3: ", "line 1"]),
        ("[training]\nout = 'x'\n", ["config.toml:2: ", "command line"]),
        ("epochs = [4, 5]\n", ["config.toml:1: ", "epochs: expected one value, found a list"]),
        ("late = [['head']]\n", ["config.toml:1: ", "name = value"]),
        ("[training.late]\nepochs = 4\n", "config.toml:1: "),
    ]:
        config.write_text(text)
        refused("--dry-run", "--config", config, says=says)


def quoted(folder):
    """A name that holds quotes, ends of lines and escape sequences is shown in one line and kept in config.toml."""
    name = 'a "run"\\ \n\t\x1b[2J\x7f'
    (folder / name).mkdir()
    train(folder / name / "first", *RUN, "--epochs", 1)
    model = folder / name / "first" / "model.safetensors"
    printed, _ = train(folder / name / "second", *RUN, "--init", model, "--release-epoch", 0)
    check(all(c == "\n" or c.isprintable() for c in printed), repr(printed))
    check("\\x0a\\x09\\x1b[2J\\x7f" in printed, printed)
    train(folder / "again", "--config", folder / name / "second" / "config.toml")
    check_same(folder / "again", results(folder / name / "second"), "repeated from its config.toml")


def dry_run(folder):
    done = run("--dry-run", "--out", folder / "run", *RUN)
    check(
        done.returncode == 0 and "after 1 of 2 epochs 2 members" in done.stdout and "seed = 0" in done.stdout,
        done.stdout + done.stderr,
    )
    check(not (folder / "run").exists(), "--dry-run made a run folder")
    # A run may be resumed with more epochs: what a schedule says of later is remarked upon.
    for text, says in [
        ("steps:900:0.1", "the step at 900, and training ends after 2 epochs"),
        ("constant@99/cosine", "the curve cosine:1 begins at 99"),
        ("anneal:2:3:0.01", "the rate begins to fall at 2"),
        ("steps:1:0.1", ""),
        ("warmup:1/cosine", ""),
    ]:
        printed = run("--dry-run", *RUN, "--schedule", text).stdout
        check(f"note: --schedule {text}: {says}" in printed if says else "note: " not in printed, printed)
    refused("--dry-run", "--export", folder / "model.onnx", says="--export does nothing here: nothing is trained")
    refused("--export", folder / "model.bin", says="expected a name that ends in .onnx or .safetensors, found")
    _, *groups = re.split(r"^\[(.+)\]$", done.stdout, flags=re.MULTILINE)
    groups = {name: re.findall(r"^([a-z-]+) = ", lines, re.MULTILINE) for name, lines in zip(groups[::2], groups[1::2])}
    found = {option: name for name in groups for option in groups[name]}
    expected = {"model": "network", "train-subset": "data-set", "epochs": "training", "members": "late-phase"}
    for option, name in (expected | {"threads": "run"}).items():
        check(found.get(option) == name, f"{option} is in the group {found.get(option)} of {list(groups)}")
    check(not found.keys() & groups.keys(), f"{found.keys() & groups.keys()} are an option and a group of options")


main(
    changes,
    keeps,
    plain_network,
    phases,
    coefficient_rates,
    parameters,
    late_phase_of_one,
    smaller_batches,
    evaluation,
    repetition,
    resume_without_a_checkpoint,
    resume_may_change_some,
    evaluating_less_often,
    more_epochs,
    numbers,
    idle_options,
    groups_and_lists,
    quoted,
    dry_run,
)
