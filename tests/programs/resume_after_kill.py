"""Usage: resume_after_kill.py CIFAR|ENWIK8
A run that is killed at any moment and resumed ends with the bits of the undisturbed one. Two moments of each kind of
run, or with LPW_TEST_LONG=1 twenty."""

import os
import random
import time

from trainer import NAME, check, check_same, main, results, run, start, tiny, train

TINY = tiny(16000)

# so that runs resume within epochs, and kills meet the writing of checkpoints
EVERY_STEP = ["--checkpoint-minutes", "0.000001"]
VARIANTS = (
    {
        "late phase and averaging": TINY + ["--average", "swa", "--average-start", "3"],
        "within epochs": TINY
        + EVERY_STEP
        + ["--dropout", "0.2", "--cutout", "8", "--sigma", "0.1"]
        + ["--schedule", "cosine-cycles:0.7", "--snapshots", "2", "--average", "ema:0.9:0.8"],
        "released while averaging": TINY
        + EVERY_STEP
        + ["--average", "swa", "--average-start", "1", "--late", "batchnorm,rank1", "--member-chunk", "2"],
        "released at once": TINY
        + ["--checkpoint-minutes", "0.0005", "--release-epoch", "0", "--base-gradient", "mean", "--late", "head"],
        "in bfloat16": TINY + EVERY_STEP + ["--precision", "bf16"],
        "made of templates": TINY
        + EVERY_STEP
        + ["--model", "hyper-wrn-10-1", "--late", "templates", "--late-weight-decay", "0", "--member-chunk", "2"]
        + ["--average", "lawa:2"],
        "released every epoch": TINY
        + EVERY_STEP
        + ["--release-epoch", "1", "--release-every", "1", "--release-momentum", "zero"]
        + ["--late", "rank1,batchnorm", "--rank1-start", "signs"],
        "started from a model": TINY + EVERY_STEP + ["--init", "MODEL"],
    }
    if NAME == "cifar"
    else {
        "within epochs": TINY
        + EVERY_STEP
        + ["--dropout", "0.2", "--layers", "2", "--sigma", "0.1", "--late", "rank1,head,additive:*bias*"],
        "released while averaging": TINY
        + EVERY_STEP
        + ["--average", "lawa:3", "--average-by", "steps", "--average-every", "5", "--average-start", "1"]
        + ["--schedule", "cosine-cycles:0.7", "--snapshots", "2", "--release-step", "70", "--member-chunk", "2"],
        "released at once": TINY + ["--checkpoint-minutes", "0.0005", "--release-epoch", "0", "--pre-batch", "7"],
        "by gradient descent": TINY + EVERY_STEP + ["--optimizer", "sgd", "--lr", "0.3", "--pre-batch", "batch"],
        "in bfloat16": TINY + EVERY_STEP + ["--precision", "bf16"],
        "started from a model": TINY + EVERY_STEP + ["--init", "MODEL"],
    }
)
LONG = os.environ.get("LPW_TEST_LONG", "") not in ("", "0")
MOMENTS = 20 if LONG else 2  # of each variant
random.seed(20210503)


def resumed(folder, arguments, expected, what):
    """Resumes to the end and compares. Returns whether it went on within an epoch."""
    done = run(*arguments, "--out", folder, "--resume")
    check(done.returncode == 0, f"{what}: --resume exits with {done.returncode}: {done.stderr}")
    check_same(folder, expected, what)
    return "before iteration" in done.stdout and "before iteration 1\n" not in done.stdout


def killed_at_random_moments(folder):
    train(folder / "initial", *TINY, "--epochs", 1, "--seed", 1)
    model = folder / "initial" / "model.safetensors"
    running = within_epochs = 0
    for number, (name, arguments) in enumerate(VARIANTS.items()):
        arguments = [model if argument == "MODEL" else argument for argument in arguments]
        undisturbed = folder / f"undisturbed-{number}"
        _, seconds = train(undisturbed, *arguments)
        expected = results(undisturbed)
        for moment in range(MOMENTS):
            out, delay = folder / f"{number}-{moment}", random.uniform(0, seconds)
            process = start(*arguments, "--out", out)
            time.sleep(delay)
            running += process.poll() is None
            process.kill()
            process.communicate()
            within_epochs += resumed(out, arguments, expected, f"{name}, killed after {delay:.2f} of {seconds:.2f} s")
    kills = len(VARIANTS) * MOMENTS
    print(
        f"{running} of {kills} kills met a running process, {kills - running} a finished one; "
        f"{within_epochs} runs went on within an epoch"
    )
    check(running > kills / 2, "most kills came after the end of the run")
    check(within_epochs > 0, "no run was resumed within an epoch")


def killed_while_a_checkpoint_is_written(folder):
    arguments = VARIANTS["released while averaging"]
    train(folder / "undisturbed", *arguments)
    expected = results(folder / "undisturbed")
    caught = 0
    for attempt in range(40 if LONG else 20):
        out = folder / str(attempt)
        temporary = out / "checkpoint.lpw.tmp"
        process = start(*arguments, "--out", out)
        while process.poll() is None and not (out / "checkpoint.lpw").exists():
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.3))
        while process.poll() is None and not temporary.exists():
            pass
        process.kill()
        process.communicate()
        if not temporary.exists():
            continue
        caught += 1
        resumed(out, arguments, expected, "killed while a checkpoint was written")
        if caught == (10 if LONG else 2):
            return
    check(caught > 0, "no kill met the writing of a checkpoint")


main(killed_at_random_moments, killed_while_a_checkpoint_is_written)
