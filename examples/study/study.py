#!/usr/bin/env python3
"""Trains methods with several seeds and a common budget, as a file of the study says (examples/study/*.toml), and makes
a table with confidence intervals, differences to a baseline over equal seeds, and costs; pictures; and results.json.
Runs that are finished are not repeated, others go on where they were: call it again after an interruption."""

import argparse
import pathlib
import os
import shlex
import sys
import tomllib

sys.dont_write_bytecode = True  # no __pycache__ beside the sources

import exports
import pictures
import contents
import evaluations
from figures import figures, final_runs, write
from folders import Place, write_whole
from plan import ROOT, Refused, is_path, load, one_line, require
from runs import Interrupted, Workers, find_program, say
from scorers import Scorers
from tables import has_ended, table


def arguments():
    parser = argparse.ArgumentParser(prog="study.py", description=__doc__)
    add = parser.add_argument
    path = pathlib.Path
    add("study", metavar="STUDY.toml", type=path)
    add("--build", metavar="DIR", type=path, default=ROOT / "build/release", help="where lpw is built (build/release)")
    add("--out", metavar="DIR", type=path, help="folder of the runs (build/study/NAME)")
    add(
        "--jobs",
        metavar="N",
        type=int,
        help="runs side by side, among which cores are shared out (all cores; a GPU: 1)",
    )
    add("--set", metavar="NAME=VALUE", action="append", default=[], help="a common option, such as data=DIR")
    add("--only", metavar="METHOD", action="append", help="train with this method alone; may be repeated")
    add("--seed", metavar="N", type=int, action="append", help="train with this seed alone; may be repeated")
    add("--dry-run", action="store_true", help="print the runs with their state and commands, and train nothing")
    add("--table", action="store_true", help="print the table of what is finished, and train nothing")
    add("--evaluate", action="store_true", help="score what is finished by [evaluate], and train nothing")
    add("--export", metavar="DIR", type=path, help="copy configurations, summaries, table and pictures, for a commit")
    add("--embed", metavar="FILE", type=path, help="write the table between <!-- study NAME --> and <!-- end --> there")
    add("--check", metavar="DIR", type=path, help="compare an exported folder's table with its runs, and train nothing")
    add("--document", metavar="FILE", type=path, action="append", default=[], help="with --check: FILE's table as well")
    return parser.parse_args()


def setting(text):
    """NAME=VALUE as an option; a path is as the caller means it."""
    name, equals, value = text.partition("=")
    require(name and equals, f"--set {text}: expected NAME=VALUE")
    if is_path(name, value):
        return name, str(pathlib.Path(value).resolve())
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def chosen_methods(study, names):
    for name in names or []:
        require(name in study.methods, f"--only {name}: expected one of {', '.join(study.methods)}")
    return [method for name, method in study.methods.items() if not names or name in names]


def default_jobs(study):
    on_gpu = any(method.options.get("device") == "cuda" for method in study.methods.values())
    return 1 if on_gpu else len(os.sched_getaffinity(0))


def trials_of(study, methods):
    return [run for method in methods for trial in study.trials(method) for run in trial]


def chosen_runs(study, methods, out, seeds):
    """Of methods whose options are known."""
    return [run for method in methods for run in final_runs(study, method, out) if not seeds or run.seed in seeds]


def train(study, args, methods, workers):
    trials = trials_of(study, methods)
    trial = 0 if study.tuning else None  # in place of that which will be chosen
    later = [run for m in methods for run in study.runs(m, trial) if not args.seed or run.seed in args.seed]
    workers.check([run for run in trials or later if not Place(workers.out, run).begun()])
    if trials:
        workers.train(trials, later)
    for method in methods:
        if not final_runs(study, method, workers.out):
            say(f"{method.name}: none of its trials can be chosen; its seeds are left out")
    workers.train(chosen_runs(study, methods, workers.out, args.seed))


def show_plan(study, args, methods, workers, scorers):
    for run in trials_of(study, methods) + chosen_runs(study, methods, workers.out, args.seed):
        place = Place(workers.out, run)
        state = (
            "finished" if place.summary() else "diverged" if place.diverged() else "begun" if place.begun() else "to do"
        )
        print(f"{run}: {state}: {shlex.join(workers.command(place))}")
    for run in chosen_runs(study, methods, workers.out, args.seed) if scorers else []:
        place = Place(workers.out, run)
        state = "scored" if evaluations.evaluation(study, place) else "to be scored"
        print(f"{run}: {state}: {shlex.join(scorers.command(place))}")
    for method in methods:
        if not final_runs(study, method, workers.out):
            print(
                f"{method.name}: {len(args.seed or study.seeds)} seeds after its trials, with the options of the best"
            )


def report(study, args, out):
    """Writes and prints what there is; nothing where no run is finished."""
    found = figures(study, out)
    if not any(has_ended(method) for method in found["methods"].values()):
        return say(f"{out}: no run is finished yet")
    text = table(study, found)
    write(found, out)
    write_whole(out / "table.md", text)
    write_whole(out / "differences.svg", pictures.differences_picture(study, found))
    write_whole(out / "curves.svg", pictures.curves_picture(study, out))
    print(text, end="")
    if args.export:
        exports.export(study, out, args.export)
    if args.embed:
        exports.embed(study, text, args.embed)


def run(args):
    study = load(args.study, [setting(text) for text in args.set])
    if args.check:
        exports.check(study, args.check, args.document)
        return 0
    jobs = default_jobs(study) if args.jobs is None else args.jobs
    require(jobs >= 1, f"--jobs {jobs}: expected a number of at least 1")
    for seed in args.seed or []:
        require(seed in study.seeds, f"--seed {seed}: expected one of the study's, {study.seeds}")
    require(not args.evaluate or study.evaluate is not None, "--evaluate: the study has no [evaluate]")
    require(not (args.evaluate and (args.dry_run or args.table)), "--evaluate: leave out --dry-run and --table")
    if args.embed:
        exports.embedded(study, args.embed.read_text(encoding="utf-8"), args.embed)
    if args.export:
        exports.require_export(args.export)
    out = (args.out or ROOT / "build/study" / study.name).resolve()
    contents.require_same(study, out)
    methods = chosen_methods(study, args.only)
    program = lambda name: find_program(args.build.resolve(), name)
    workers = None if args.table or args.evaluate else Workers(study, program(study.program), out, jobs)
    scorers = None if args.table or study.evaluate is None else Scorers(study, program("evaluate"), out, jobs)
    if args.dry_run:
        show_plan(study, args, methods, workers, scorers)
        return 0
    if scorers:
        scorers.check()
    at_work = [part for part in (workers, scorers) if part]
    try:
        if workers:
            train(study, args, methods, workers)
        if scorers:
            scorers.score(chosen_runs(study, methods, out, args.seed))
    except Interrupted:
        again = shlex.join(["examples/study/study.py", *sys.argv[1:]])
        done, all = (sum(getattr(part, name) for part in at_work) for name in ("finished", "all"))
        say(f"interrupted; {done} of {all} runs are finished; go on with: {again}")
        return 130
    report(study, args, out)
    failures = [run for part in at_work for run in part.failures]
    if failures:
        say(f"{len(failures)} of the runs failed: {'; '.join(map(str, failures))}")
    return 1 if failures else 0


def main():
    try:
        return run(arguments())
    except Refused as error:
        print(f"study.py: {one_line(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"study.py: {one_line(error.filename)}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
