"""Usage: single_files.py FOLDER NAME...
The single files under examples/ do what they say: programs NAME... in a folder, each of which has a test here."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.argv, PROGRAMS, NAMES = sys.argv[:2], pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]

from trainer import check, main, without_threads  # noqa: E402


def run(name, folder, *arguments):
    done = subprocess.run(
        [PROGRAMS / name, *map(str, arguments)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    check(done.returncode == 0 and done.stderr == "", f"{name}: exits with {done.returncode}: {done.stderr}")
    return done.stdout


def figure(printed, pattern):
    """The number that stands where a line says so."""
    found = re.search(pattern + r" ([0-9.]+)", printed)
    check(found, f"no {pattern!r} in\n{printed}")
    return float(found[1])


def wait_for_change(path):
    """Until a file is written anew."""
    before, end = path.stat().st_ino, time.monotonic() + 60
    while path.stat().st_ino == before:
        check(time.monotonic() < end, f"{path} stays as it is")
        time.sleep(0.001)


def late_phase(folder):
    source = pathlib.Path(__file__).resolve().parents[2] / "examples" / "late_phase.cpp"
    check(len(source.read_text().splitlines()) <= 80, "late_phase.cpp: has more than the eighty lines that one reads")
    printed = run("late_phase", folder)
    before, ensemble, collapsed = (
        figure(printed, f"{what}:\\s+accuracy")
        for what in ["before release", "ensemble of the members", "collapsed, one network"]
    )
    # A tenth would be chance.
    check(before > 0.25 and ensemble > before and collapsed > before and abs(collapsed - ensemble) < 0.05, printed)
    losses = [float(loss) for loss in re.findall(r"epoch \d+: loss ([0-9.]+)", printed)]
    check(len(losses) == 12 and losses[-1] < 0.8 * losses[0], printed)
    content = (folder / "late_phase.safetensors").read_bytes()
    check(
        b'"conv1.weight"' in content[:100000] and len(content) > 4 * 77000,
        f"{len(content)} bytes of a network are saved",
    )


def no_threads(folder):
    """What cannot be had is said in a line."""
    limited = without_threads(PROGRAMS / "late_phase", folder)
    if limited is None:
        return
    done = subprocess.run([PROGRAMS / "late_phase"], cwd=folder, capture_output=True, text=True, **limited)
    check(
        done.returncode == 1 and done.stderr.startswith("late_phase: cannot start ") and done.stderr.count("\n") == 1,
        f"without threads: exits with {done.returncode}: {done.stderr}",
    )


def own_layer(folder):
    printed = run("own_layer", folder)
    check(figure(printed, "before release: accuracy") > 0.9, printed)
    check(
        figure(printed, "ensemble of the members: accuracy") > 0.95 and figure(printed, "collapsed: accuracy") > 0.95,
        printed,
    )
    slopes = [float(slope) for slope in re.search("slopes of channel 0:(.*)", printed)[1].split()]
    check(len(set(slopes)) == 4, f"members have no slopes of their own: {slopes}")
    mean = float(re.search(r"collapsed: .*slope of channel 0: (\S+)", printed)[1])
    check(abs(mean - sum(slopes) / 4) < 1e-4, printed)  # four digits are printed


def own_data(folder):
    printed = run("own_data", folder)
    before, collapsed = figure(printed, "before release: error"), figure(printed, "collapsed: error")
    # The noise, 0.1, is the least. The error of predicting the mean is 0.42.
    check(0.095 < collapsed < before < 0.2 and collapsed < 0.115, printed)


def own_loop_resume(folder):
    """Killed and started again, until it has ended, it saves the same bits as undisturbed."""
    printed = run("own_loop_resume", folder, folder / "whole")
    check(printed.startswith("from epoch 1, iteration 1 on\nepoch 1 of 6, 1 members"), printed)
    check("epoch 6 of 6, 3 members" in printed, printed)
    starts = []
    for last in ["epoch 1 ", "epoch 3 ", "epoch 4 ", "from epoch 5", "epoch 6 "]:  # before, at and after release
        process = subprocess.Popen([PROGRAMS / "own_loop_resume", folder / "killed"], stdout=subprocess.PIPE, text=True)
        starts.append(process.stdout.readline())
        if not starts[-1].startswith(last):
            for line in process.stdout:
                if line.startswith(last):
                    break
        if last.startswith("epoch") and last != "epoch 6 ":
            wait_for_change(folder / "killed" / "state.lpw")  # in the middle of the next epoch
        process.kill()
        process.communicate()
        check(
            not (folder / "killed" / "model.safetensors").exists() or last == "epoch 6 ",
            "it ended before it was killed",
        )
    places = [tuple(map(int, re.findall(r"\d+", start))) for start in starts]
    check(places == sorted(places) and places[0] == (1, 1) and places[1] > (1, 1), f"it went on from {starts}")
    check(any(iteration > 1 for _, iteration in places), f"no state was of the middle of an epoch: {starts}")
    printed = run("own_loop_resume", folder, folder / "killed")
    check(printed.startswith("from epoch 7, iteration 1 on"), printed)
    for name in ["state.lpw", "model.safetensors"]:
        check((folder / "whole" / name).read_bytes() == (folder / "killed" / name).read_bytes(), f"{name} differs")


def transformer_block(folder):
    printed = run("transformer_block", folder)
    before, ensemble, collapsed = (
        figure(printed, f"{what}: accuracy") for what in ["before release", "ensemble of the members", "collapsed"]
    )
    # Without attention, by its place alone, 0.51 of the letters are told.
    check(before > 0.8 and ensemble > before and collapsed > before and collapsed > 0.93, printed)
    check("1 member" in printed, printed)


def distributed(folder):
    """One process, and two, which train the same, and to the same bits each time."""
    source = pathlib.Path(__file__).resolve().parents[2] / "examples" / "distributed.cpp"
    check(len(source.read_text().splitlines()) <= 100, "distributed.cpp: has more than a hundred lines")
    printed = run("distributed", folder)
    check("1 processes:" in printed and figure(printed, "collapsed") > 0.2, printed)  # a tenth would be chance
    losses = [float(loss) for loss in re.findall(r"epoch \d+: loss ([0-9.]+)", printed)]
    check(len(losses) == 6 and losses[-1] < 0.9 * losses[0], printed)
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        return
    environment = {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    }
    saved = []
    for _ in range(2):
        done = subprocess.run(
            [mpirun, "-n", "2", PROGRAMS / "distributed"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if "built without MPI" in done.stderr:
            check(done.returncode != 0, "two processes of a program without MPI succeed")
            return
        check(done.returncode == 0, f"two processes: exits with {done.returncode}: {done.stderr}")
        together = [float(loss) for loss in re.findall(r"epoch \d+: loss ([0-9.]+)", done.stdout)]
        # Rounding errors of float grow as training goes on.
        check(len(together) == 6 and abs(together[0] - losses[0]) < 0.02, printed + done.stdout)
        saved.append((folder / "distributed.safetensors").read_bytes())
    check(saved[0] == saved[1], "two processes train other bits each time")


TESTS = [late_phase, own_layer, own_data, own_loop_resume, transformer_block, distributed]
check(sorted(test.__name__ for test in TESTS) == sorted(NAMES), f"the programs are {NAMES}")
main(*TESTS, no_threads)
