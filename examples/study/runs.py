"""Trains a study's runs, several processes at a time, each from where it is; and stops them all when it is told to."""

import collections
import concurrent.futures
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import contents
from folders import Place, toml_line, write_whole
from plan import ROOT, Refused, require


class Interrupted(Exception):
    pass


def find_program(build, name):
    for path in (build / "examples" / name, build / "examples" / "cpu" / name):
        if path.is_file():
            return path
    raise Refused(f"{build}/examples/{name}: is not built: cmake --preset release && cmake --build --preset release")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ASKS_FOR_SIGNAL_AT_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl, Linux's
_LIBRARY = ctypes.CDLL(None)


def say(text):
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # of a terminal that is gone
        pass


def ends_with_its_parent():
    """What a process does before it becomes a trainer: if study.py is killed, the trainer is told to stop, and leaves a
    checkpoint."""
    parent = os.getpid()

    def ask():
        _LIBRARY.prctl(ASKS_FOR_SIGNAL_AT_PARENTS_DEATH, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def duration(seconds):
    minutes = int(seconds + 0.5) // 60
    return f"{minutes // 60}:{minutes % 60:02}:{int(seconds + 0.5) % 60:02}"


class Workers:
    """`jobs` processes, among which the cores are shared out."""

    def __init__(self, study, program, out, jobs):
        self.study, self.program, self.out = study, program, out
        self.jobs = jobs
        self.threads = max(1, len(os.sched_getaffinity(0)) // jobs)
        self.taken = collections.defaultdict(list)  # seconds of each method's runs
        self.finished, self.all, self.failures = 0, 0, []
        self.signals, self.passed_on = 0, 0

    def train(self, runs, later=()):
        """All runs, after which those of `later` are to come. Returns when none is left; failures are in `failures`.
        Throws Interrupted when a signal came, after all processes have ended."""
        waiting = collections.deque()
        for run in runs:
            place = Place(self.out, run)
            summary = place.summary()
            if summary is not None:
                self.taken[run.method].append(summary["seconds"])
            elif not place.diverged():
                waiting.append(place)
        self._work(waiting, later)

    def _work(self, waiting, later=()):
        self.working = {}
        self.all = self.finished + len(waiting) + len(later)
        heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # by nohup's leave
        before = {number: signal.signal(number, self._stop) for number in heeded}
        try:
            while self.working or (waiting and not self.signals):
                while waiting and len(self.working) < self.jobs and not self.signals:
                    self._start(waiting.popleft())
                time.sleep(0.02)
                self._pass_on()
                for process in [process for process in self.working if process.poll() is not None]:
                    self._ended(process, [place.run for place in waiting] + list(later))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.signals:
            raise Interrupted

    def _command(self, run, config, *more):
        threads = () if "threads" in run.options else ("--threads", self.threads)
        return [str(word) for word in (self.program, "--config", config, *threads, *more)]

    def command(self, place):
        return self._command(place.run, place.beside(".toml"), "--out", place.folder, "--resume")

    def write_options(self, path, run):
        """With what the run's paths hold, as comments."""
        options = self.study.placed(run.options)
        found = contents.comments(contents.fingerprints(self.study, run.options))
        write_whole(path, "".join(toml_line(*option) for option in options.items()) + found)

    def check(self, runs):
        """That the trainer takes the options that methods set, before any is trained."""
        kinds = {(run.method, *sorted(run.options)): run for run in runs}

        def refusal(run):
            with tempfile.TemporaryDirectory(prefix="lpw-study-") as folder:
                config = pathlib.Path(folder) / "options.toml"
                self.write_options(config, run)
                command = self._command(run, config, "--dry-run")
                done = subprocess.run(
                    command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
                )
            said = done.stderr.strip().split("\n")[-1].replace(f"{config}:", "line ")
            return f"{run}: {said}" if done.returncode else None

        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            refusals = [message for message in pool.map(refusal, kinds.values()) if message]
        require(not refusals, refusals[0] if refusals else "")

    def _start(self, place):
        self.write_options(place.beside(".toml"), place.run)
        begun = (place.folder / "checkpoint.lpw").exists()
        self._begin(place, self.command(place), place.beside(".log"), "goes on" if begun else "starts")

    def _begin(self, place, command, log, does):
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={"OMP_WAIT_POLICY": "passive"} | os.environ,
                preexec_fn=ends_with_its_parent(),
                start_new_session=True,  # so that a terminal's ^C comes to this process alone, which passes it on
            )
        say(f"{time.strftime('%H:%M:%S')} {place.run}: {does}")
        self.working[process] = (place, time.monotonic())

    def _stop(self, *_):
        self.signals += 1

    def _pass_on(self):
        """The first signal lets the trainers write a checkpoint, another does not."""
        if self.signals == self.passed_on:
            return
        for process in self.working:
            process.send_signal(signal.SIGTERM if self.passed_on == 0 else signal.SIGKILL)
        self.passed_on = self.signals

    def _ended(self, process, still):
        place, begin = self.working.pop(process)
        try:
            summary = place.summary() if process.returncode == 0 else None
            problem = place.last_log_line() or f"exits with {process.returncode}"
        except Refused as error:
            summary, problem = None, str(error)
        if summary is not None:
            self.finished += 1
            self.taken[place.run.method].append(summary["seconds"])
            score = self._score(place.run, summary)
            eta = duration(self._seconds(still))
            taken = duration(time.monotonic() - begin)
            say(f"[{self.finished}/{self.all}] {place.run}: {score}, {taken}; ETA {eta}")
        elif place.diverged():
            self.finished += 1
            say(f"[{self.finished}/{self.all}] {place.run}: diverged")
        elif not self.signals:
            self.failures.append(place.run)
            say(f"{place.run}: FAILED: {problem} (see {place.beside('.log')})")

    def _score(self, run, summary):
        names = [self.study.tuning.score] if run.trial else ["test_accuracy", "test_bpc"]
        return next(
            (f"{n.replace('_', ' ')} {summary[f'{n}_served']:.4f}" for n in names if f"{n}_served" in summary), "-"
        )

    def _seconds(self, still):
        """To the end: of the runs that are waiting and half of those at work, as others of the method took."""
        known = [seconds for all in self.taken.values() for seconds in all]
        mean = lambda values: sum(values) / len(values)
        of = lambda run: mean(self.taken[run.method] or known)
        now = time.monotonic()
        working = [max(of(place.run) - (now - begin), 0) for place, begin in self.working.values()]
        return (sum(map(of, still)) + sum(working)) / self.jobs
