"""Usage: interrupt.py CIFAR|ENWIK8
Ctrl-C and a scheduler's SIGTERM end a run at a step, with a checkpoint from which it goes on as if nothing had been."""
import signal

from trainer import NAME, TINY, check, check_same, checkpoint_progress, main, results, run, start, summary, train

RUN = TINY + ["--batch", "5", "--swa-start", "3"]  # many steps, so that the signal meets one


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
    check(first["epoch"] < 4 and not first["released"] and first["step"] >= 60, f"SIGINT came at an unexpected point: {first}")
    second = interrupted(out, signal.SIGTERM, "release after 2", "--resume")  # the options come from config.toml
    check(second["released"] and second["step"] > first["step"], f"SIGTERM came at an unexpected point: {second}")
    check(second["seconds"] > first["seconds"], "the time of the first process is lost")
    done = run("--resume", "--out", out)
    check(done.returncode == 0, f"--resume: {done.stderr}")
    check_same(out, expected, "interrupted twice")
    check(summary(out)["seconds"] > second["seconds"], "the time before the interruptions is lost")


def finished_run_is_evaluated_again(folder):
    train(folder / "run", *TINY)
    expected = results(folder / "run")
    done = run("--resume", "--out", folder / "run")
    check(done.returncode == 0 and "all 4 epochs are trained already" in done.stdout, done.stdout + done.stderr)
    check_same(folder / "run", expected, "resumed after its end")


main(signals_in_both_phases, finished_run_is_evaluated_again)
