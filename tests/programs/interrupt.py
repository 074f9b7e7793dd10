"""Usage: interrupt.py CIFAR|ENWIK8
Ctrl-C, a scheduler's SIGTERM and the SIGHUP of a closed terminal end a run at a step, with a checkpoint from which it
goes on as if nothing had been."""

import resource
import signal
import subprocess

from trainer import (
    FILES,
    NAME,
    PROGRAM,
    TINY,
    check,
    check_same,
    checkpoint_progress,
    main,
    results,
    run,
    start,
    summary,
    train,
)

# many steps, so that the signal meets one
RUN = TINY + ["--batch", "5", "--average", "ema:0.9", "--average-start", "1"]


def interrupted(folder, sign, after, *arguments):
    """Sends a signal when a line of output starts with `after`. Returns what was printed from then on."""
    process = start(*arguments, "--out", folder)
    for line in process.stdout:
        if line.startswith(after):
            break
    process.send_signal(sign)
    out, err = process.communicate(timeout=600)
    check(process.returncode == 128 + sign, f"{sign.name} ends with exit code {process.returncode}: {out}{err}")
    check(f"continue with: {NAME} --resume --out {folder}" in out, f"{sign.name}: no word of --resume in {out!r}")
    check("stopping after this step" in err, f"{sign.name}: not announced: {err!r}")
    return checkpoint_progress(folder)


def signals_in_both_phases(folder):
    train(folder / "undisturbed", *RUN)
    expected = results(folder / "undisturbed")
    out = folder / "interrupted"
    first = interrupted(out, signal.SIGINT, "epoch 1/4", *RUN)
    check(
        first["epoch"] < 4 and not first["released"] and first["step"] >= 60,
        f"SIGINT came at an unexpected point: {first}",
    )
    second = interrupted(out, signal.SIGTERM, "release after 2", "--resume")  # the options come from config.toml
    check(second["released"] and second["step"] > first["step"], f"SIGTERM came at an unexpected point: {second}")
    check(second["seconds"] > first["seconds"], "the time of the first process is lost")
    third = interrupted(out, signal.SIGHUP, "epoch 3/4", "--resume")
    check(third["step"] > second["step"], f"SIGHUP came at an unexpected point: {third}")
    done = run("--resume", "--out", out)
    check(done.returncode == 0, f"--resume: {done.stderr}")
    check_same(out, expected, "interrupted three times")
    check(summary(out)["seconds"] > third["seconds"], "the time before the interruptions is lost")


def finished_run_is_evaluated_again(folder):
    train(folder / "run", *TINY)
    expected = results(folder / "run")
    done = run("--resume", "--out", folder / "run")
    check(done.returncode == 0 and "all 4 epochs are trained already" in done.stdout, done.stdout + done.stderr)
    check_same(folder / "run", expected, "resumed after its end")


def ignored_signals_stay_ignored(folder):
    """As SIGHUP under nohup, and SIGINT of what a script runs in the background."""
    signals = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]
    process = subprocess.Popen(
        [PROGRAM, *RUN, "--out", str(folder / "run")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        restore_signals=False,
        preexec_fn=lambda: [signal.signal(sign, signal.SIG_IGN) for sign in signals],
    )
    for line in process.stdout:
        if line.startswith("epoch 1/4"):
            break
    for sign in signals + signals:
        process.send_signal(sign)
    _, err = process.communicate(timeout=600)
    check(process.returncode == 0 and err == "", f"exit code {process.returncode}: {err}")
    check({path.name for path in (folder / "run").iterdir()} == FILES, "the run is not complete")


def files_that_may_not_grow(folder):
    """A limit on the size of files (ulimit -f), whose signal would end the program without a word: for a checkpoint,
    and for what is printed."""
    limit = lambda size: {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))}
    done = run(*TINY, "--out", folder / "run", **limit(20_000))
    check(
        done.returncode == 1 and "checkpoint.lpw: cannot write: File too large" in done.stderr,
        f"{done.returncode}: {done.stderr}",
    )
    done = run("--out", folder / "run", "--resume")
    check(done.returncode == 0, f"--resume after the limit: {done.stderr}")
    with open(folder / "log", "w") as log:
        log.write(" " * 20_000_000)
        log.flush()
        done = subprocess.run(
            [PROGRAM, *TINY, "--out", str(folder / "logged")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            check=False,
            **limit(20_000_000),
        )
    check(done.returncode == 0, f"printing to a file that may not grow ends the run: {done.returncode}")


def runs_of_one_second_have_folders_of_their_own(folder):
    processes = [
        subprocess.Popen(
            [PROGRAM, *TINY, "--epochs", "1"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        _, err = process.communicate(timeout=600)
        check(process.returncode == 0, f"one of several runs: {err}")
    check(len(list((folder / "runs").iterdir())) == 4, "runs share a folder")


main(
    signals_in_both_phases,
    finished_run_is_evaluated_again,
    ignored_signals_stay_ignored,
    files_that_may_not_grow,
    runs_of_one_second_have_folders_of_their_own,
)
