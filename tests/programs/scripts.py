"""Usage: scripts.py PROJECT_SOURCE_DIR
What a user's shell exports does not send scripts elsewhere, and options may be any names."""

import itertools
import os
import pathlib
import shutil
import subprocess

from trainer import PROGRAM, check, main

ROOT = pathlib.Path(PROGRAM)
SCRIPTS = sorted(
    path for folder in ["scripts", "benchmarks"] for path in (ROOT / folder).glob("*.sh") if os.access(path, os.X_OK)
)


def trap(folder):
    """An environment whose CDPATH has folders of the names that scripts go to, with scripts of the same names."""
    for name in ["scripts", "benchmarks", ".ci", "data"]:
        (folder / name).mkdir(parents=True)
        (folder / name / "common.sh").write_text("echo 'the wrong common.sh'; exit 3\n")
    return {**os.environ, "CDPATH": str(folder)}


def run(*arguments, **options):
    return subprocess.run(
        list(map(str, arguments)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options
    )


def head(script):
    """The comment at the head of a script, which is its help."""
    lines = script.read_text().splitlines()[1:]
    comment = list(itertools.takewhile(lambda line: line.startswith("#"), lines))
    return "".join(line.removeprefix("#").removeprefix(" ") + "\n" for line in comment)


def scripts_find_their_project(folder):
    check(len(SCRIPTS) > 8, f"found {SCRIPTS}")
    environment = trap(folder / "trap")
    for script in SCRIPTS:
        name = script.relative_to(ROOT)
        done = run("bash", name, "--help", cwd=ROOT, env=environment)
        check(
            done.returncode == 0 and done.stdout == head(script) and done.stderr == "",
            f"{name}: {done.stdout}{done.stderr}",
        )
        check(done.stdout.startswith(f"Usage: {name}"), f"{name}: {done.stdout}")
        beside = run("bash", script.name, "--help", cwd=script.parent, env=environment)
        check(
            beside.returncode == 0 and beside.stdout == done.stdout,
            f"{name} from its own folder: {beside.stdout}{beside.stderr}",
        )


def continuous_integration_finds_its_project(folder):
    """In a project that holds nothing else, whose test script says where it is."""
    project = folder / "project"
    for name in [".ci", "scripts"]:
        (project / name).mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", project / ".ci" / "run")
    (project / "scripts" / "test.sh").write_text("#!/bin/sh\npwd\n")
    (project / "scripts" / "test.sh").chmod(0o755)
    done = run("bash", ".ci/run", cwd=project, env=trap(folder / "trap"))
    check(done.returncode == 0 and done.stdout == f"{project}\n", done.stdout + done.stderr)


def data_goes_where_it_should(folder):
    """To the folder of the given name, whatever CDPATH and `cd -` would make of it."""
    environment = {**trap(folder / "trap"), "LPW_DATA_URL": f"file://{folder}/nothing"}
    for name in ["data", "-", "-x"]:
        done = run("bash", ROOT / "scripts" / "download_data.sh", "cifar10", name, cwd=folder, env=environment)
        check(done.returncode == 1 and "could not be fetched" in done.stderr, f"{name}: {done.stdout}{done.stderr}")
        check((folder / name).is_dir(), f"no folder {name} was made")
    check(
        list((folder / "trap" / "data").iterdir()) == [folder / "trap" / "data" / "common.sh"],
        "went into another's folder",
    )


def dependencies_go_where_nothing_is(folder):
    mine = folder / "mine"
    mine.mkdir()
    (mine / "thesis").touch()
    done = run("bash", ROOT / "scripts" / "collect_deps.sh", mine)
    check(done.returncode == 1 and (mine / "thesis").exists(), done.stdout + done.stderr)


def put_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def stand_in(folder, text):
    """A build folder whose trainer is a script, or fails where it is none."""
    program = folder / "build" / "examples" / "cifar"
    program.parent.mkdir(parents=True)
    put_program(program, text)
    return folder / "build"


def results_replace_nothing_of_others(folder):
    build = stand_in(folder, "#!/bin/sh\nexit 1\n")
    for script, place in (["methods.sh", "--build", build], "sgd"), (["docs.sh"], "html"):
        mine = folder / script[0] / place
        mine.mkdir(parents=True)
        (mine / "thesis").touch()
        methods = ["sgd"] if script[0] == "methods.sh" else []
        command = ["bash", ROOT / "scripts" / script[0], *script[1:], "--out", mine.parent, *methods]
        done = run(*command)
        if done.returncode == 77:  # there is no doxygen
            continue
        check(done.returncode == 1 and "is there and not of an earlier call" in done.stderr, done.stdout + done.stderr)
        check((mine / "thesis").exists(), f"{script[0]} removed another's file")


def counts_are_decimal(folder):
    build = stand_in(folder, '#!/bin/sh\necho "$@" >&2\nexit 1\n')
    methods = ["bash", ROOT / "scripts" / "methods.sh", "--build", build, "--out", folder / "out"]
    done = run(*methods, "--images", "010", "sgd")
    check("--train-subset 10 --test-subset 2 " in done.stderr, done.stdout + done.stderr)
    for name, options in {"methods.sh": ["--images"], "gpu_check.sh": ["--minutes"]}.items():
        for option in options:
            for odd in ["08x", "-1", "1e3", "", "0x10", "9" * 20]:
                done = run("bash", ROOT / "scripts" / name, option, odd)
                check(done.returncode == 1 and f"{option}: expected a whole number" in done.stderr, done.stderr)
    for name, option in ("busy.sh", "--rounds"), ("late_phase.sh", "--members"), ("compare.sh", "--samples"):
        done = run("bash", ROOT / "benchmarks" / name, option, "many")
        check(done.returncode == 1 and f"{option}: expected a whole number" in done.stderr, done.stderr)


def messages_are_one_line(folder):
    """Whatever a name has: a newline, or what a terminal obeys."""
    odd = "x\x1b[31m\ny"
    study = ROOT / "examples" / "study" / "study.py"
    for command in (
        ["bash", ROOT / "scripts" / "plot.sh", odd],
        ["bash", ROOT / "scripts" / "plot_quadratic.sh", odd],
        ["bash", ROOT / "scripts" / "methods.sh", "--build", folder / odd],
        ["bash", ROOT / "scripts" / "download_data.sh", odd, folder],
        ["python3", "-B", study, odd],
    ):
        done = run(*command)
        if "is not installed" in done.stderr:
            continue
        check(done.returncode != 0 and "x?[31m?y" in done.stderr, f"{command}: {done.stderr!r}")
        check(done.stderr.count("\n") == 1 and "\x1b" not in done.stderr, f"{command}: {done.stderr!r}")


def a_slurm_job_queues_again_after_its_signal(folder):
    """And in no other case; srun is told what the processes need."""
    slurm = ROOT / "scripts" / "slurm.sh"
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "LPW_SLURM"))}
    done = run(slurm, "cifar", env=outside)
    check(done.returncode == 1 and "this is no Slurm job" in done.stderr, done.stderr)
    job = {**outside, "PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "3"}
    put_program(folder / "scontrol", f'#!/bin/sh\necho "$@" >> {folder}/queued\n')
    for status in (0, 1, 137, 143):  # ended, refused, killed, and stopped by SIGTERM after a checkpoint
        put_program(folder / "srun", f'#!/bin/sh\necho "$OMP_NUM_THREADS $@"\nexit {status}\n')
        done = run(slurm, "cifar", "--out", "a run", env=job)
        check(done.returncode == status, f"exits with {done.returncode}, expected {status}: {done.stderr}")
        expected = "3 --mpi=pmix --cpus-per-task=3 --kill-on-bad-exit=1 cifar --out a run --resume\n"
        check(done.stdout == expected, f"srun got {done.stdout!r}")
    check((folder / "queued").read_text() == "requeue 7\n", (folder / "queued").read_text())


main(
    scripts_find_their_project,
    continuous_integration_finds_its_project,
    data_goes_where_it_should,
    dependencies_go_where_nothing_is,
    results_replace_nothing_of_others,
    counts_are_decimal,
    messages_are_one_line,
    a_slurm_job_queues_again_after_its_signal,
)
