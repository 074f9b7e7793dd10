"""Scores a study's finished runs by the program evaluate, several processes at a time; what is scored is not scored
again."""

import collections
import re
import subprocess
import time

import contents
import evaluations
from folders import Place
from plan import Refused, require
from runs import Workers, duration, say


class Scorers(Workers):
    def check(self):
        """That the program has the options of [evaluate]."""
        text = subprocess.run([self.program, "--help"], capture_output=True, text=True, errors="replace").stdout
        for name in self.study.evaluate:
            known = re.search(rf"--{re.escape(name)}\b(?!-)", text)
            require(known, f"{self.study.path}: evaluate: {name}: is no option of {self.program}")

    def score(self, runs):
        """Those that have ended, as Workers.train does."""
        places = [Place(self.out, run) for run in runs]
        ended = [place for place in places if place.summary() is not None]
        self._work(collections.deque(place for place in ended if evaluations.evaluation(self.study, place) is None))

    def command(self, place):
        options = evaluations.options_of(self.study, place.run)
        of_run = self.study.placed({name: place.run.options[name] for name in ("data",) if name in place.run.options})
        words = [self.program, "--network", place.folder, *evaluations.arguments(self.study, of_run | options)]
        return [str(word) for word in (*words, "--threads", self.threads, "--out", evaluations.folder(place))]

    def _start(self, place):
        options = evaluations.options_of(self.study, place.run)
        (evaluations.folder(place) / "evaluation.json").unlink(missing_ok=True)  # of other options
        evaluations.write_options(place, options, contents.evaluated(self.study, options))
        self._begin(place, self.command(place), evaluations.folder(place) / "log.txt", "is scored")

    def _ended(self, process, still):
        place, begin = self.working.pop(process)
        try:
            scored, said = process.returncode == 0 and evaluations.evaluation(self.study, place) is not None, ""
        except Refused as error:
            scored, said = False, str(error)
        if scored:
            self.finished += 1
            taken = time.monotonic() - begin
            self.taken[place.run.method].append(taken)
            say(f"[{self.finished}/{self.all}] {place.run}: {duration(taken)}; ETA {duration(self._seconds(still))}")
        elif not self.signals:
            self.failures.append(place.run)
            log = evaluations.folder(place) / "log.txt"
            lines = [line for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
            said = said or (lines[-1].strip() if lines else f"exits with {process.returncode}")
            say(f"{place.run}: NOT SCORED: {said} (see {log})")
