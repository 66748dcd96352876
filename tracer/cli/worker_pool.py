"""`tracer run --jobs N`: cases in several processes on one machine.

Each worker measures one case at a time and keeps its model open, so it is given cases of that model
as long as there are any. A case whose worker was killed runs once more, alone, after all others:
what was measured of it is taken up. Workers end with this process, however it ends: they hear that
their standard input is closed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from tracer.cli.cases import OpenedBy
from tracer.cli.measuring import INTERRUPTED, Failure, Measuring, failure_of
from tracer.engine.progress import Advance, Progress
from tracer.errors import EXIT_ENGINE, Mistake, TracerError
from tracer.hypothesis.load import HypothesisFile
from tracer.report.run import Run
from tracer.report.screen import Screen

WORKER = (sys.executable, "-m", "tracer.cli.case_worker")
PATIENCE = 20.0
"""Seconds that workers have to end in; on disk, a record is whole at any time."""

Ended = Callable[[int, Run | Failure], bool]
"""Is told the number of each case that ended, and how; gives whether to go on."""


class GivenCase(NamedTuple):
    """A case as it is given out."""

    label: str
    file: HypothesisFile

    @property
    def opens(self) -> OpenedBy:
        """What a worker must have open for it."""
        return self.file.hypothesis.model_spec, self.file.hypothesis.features


@dataclass(eq=False)
class _Worker:
    slot: int
    """Of the progress display, and of what the machine has."""
    process: subprocess.Popen[str]
    opened: OpenedBy | None = None
    number: int | None = None
    """Of the case that it measures."""
    is_leaving: bool = False
    listeners: list[threading.Thread] = field(default_factory=list[threading.Thread])
    steps: list[AbstractContextManager[Advance]] = field(
        default_factory=list[AbstractContextManager[Advance]]
    )
    advances: list[Advance] = field(default_factory=list[Advance])

    def say(self, **message: Any) -> None:
        """Ask it; one that was killed is noticed where it says no more."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def let_go(self) -> None:
        """Let it end: at once where it measures nothing, else as at Ctrl-C."""
        assert self.process.stdin is not None
        self.is_leaving = True
        with suppress(OSError):
            self.process.stdin.close()

    def draw(self, label: str, message: Mapping[str, Any], progress: Progress) -> None:
        """Draw what it told of its progress."""
        if "began" in message:
            step = progress.task(f"{label}: {message['began']}", message["total"])
            self.advances.append(step.__enter__())
            self.steps.append(step)
        elif "note" in message:
            progress.note(f"{label}: {message['note']}")
        elif self.steps and "ended" in message:
            self._end_step()
        elif self.steps:
            self.advances[-1](message["advanced"])

    def end_steps(self) -> None:
        """Draw no more of it."""
        while self.steps:
            self._end_step()

    def _end_step(self) -> None:
        self.advances.pop()
        self.steps.pop().__exit__(None, None, None)


class _Heard(NamedTuple):
    worker: _Worker
    message: dict[str, Any] | None
    """None where its process says no more."""


@dataclass(eq=False)
class WorkerPool:
    """The cases of a command, and the processes that measure them."""

    cases: Sequence[GivenCase]
    measuring: Measuring
    progress: Sequence[Progress]
    """One for each worker."""
    environments: Sequence[Mapping[str, str]]
    """Likewise."""
    screen: Screen
    """For what is told beside the progress."""
    _left: list[int] = field(init=False)
    _again: list[int] = field(default_factory=list[int], init=False)
    _before: dict[int, set[Path]] = field(default_factory=dict[int, set[Path]], init=False)
    """Runs of its hypothesis that there were before a case was first given out."""
    _workers: list[_Worker] = field(default_factory=list[_Worker], init=False)
    _heard: SimpleQueue[_Heard] = field(default_factory=SimpleQueue[_Heard], init=False)
    _is_stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._left = list(range(len(self.cases)))

    def run(self, ended: Ended) -> None:
        """Measure all cases, unless `ended` says to stop or Ctrl-C does."""
        try:
            self._give_out()
            while self._busy():
                if not self._hear(ended):
                    break
                self._give_out()
        except KeyboardInterrupt:
            self._stop()
            while self._busy():
                self._hear(ended)
        finally:
            self._stop()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.number is not None]

    def _hear(self, ended: Ended) -> bool:
        """Take up the next message; gives whether to go on."""
        worker, message = self._heard.get()
        number = worker.number
        if message is None:
            worker.let_go()
            worker.end_steps()
            self._workers.remove(worker)
            code = worker.process.wait()
            return number is None or self._killed(number, code, ended)
        assert number is not None
        end = self._end(number, message)
        if end is None:
            worker.draw(self.cases[number].label, message, self.progress[worker.slot])
            return True
        worker.number, worker.is_leaving = None, worker.is_leaving or "broken" in message
        return ended(number, end)

    def _end(self, number: int, message: Mapping[str, Any]) -> Run | Failure | None:
        """How the case ended; None where it goes on."""
        label, file = self.cases[number]
        if "run" in message:
            try:
                return Run.open(message["run"])
            except TracerError as error:
                return failure_of(error, file)
        if "failed" in message:
            code, sentence, mistakes = message["failed"]
            return Failure(code, sentence, mistakes and tuple(Mistake(*each) for each in mistakes))
        if "broken" in message:
            sentence = f"{label}: this is a mistake in tracer itself; please report it."
            return Failure(EXIT_ENGINE, sentence)
        return None

    def _killed(self, number: int, code: int, ended: Ended) -> bool:
        """A worker is gone, and its case is not done."""
        if self._is_stopped:
            return ended(number, INTERRUPTED)
        told = f"{self.cases[number].label}: the process that measured it {_how(code)}"
        if number not in self._again:
            self._again.append(number)
            self.screen.say(f"{told}; what it measured is kept, and the case runs again at the end")
            return True
        why = "often there is not enough memory, and fewer --jobs leave more for each"
        return ended(number, Failure(EXIT_ENGINE, f"{told}, for the second time; {why}."))

    def _give_out(self) -> None:
        """Give a case to each worker that has none; one that gets none may end."""
        for slot in range(len(self.progress)):
            own = (each for each in self._workers if each.slot == slot and not each.is_leaving)
            worker = next(own, None)
            if worker is not None and worker.number is not None:
                continue
            number = self._next(worker and worker.opened)
            if number is not None:
                self._give(number, worker or self._started(slot))
            elif worker is not None:
                worker.let_go()

    def _next(self, opened: OpenedBy | None) -> int | None:
        """Of the model that is open, else of the one that fewest workers have and most cases ask.

        Cases that run again come last, and one at a time.
        """
        if not self._left:
            again = [n for n in self._again if n in self._before]
            return again[0] if again and not self._busy() else None
        has = Counter(worker.opened for worker in self._busy())
        asked = Counter(self.cases[n].opens for n in self._left)

        def order(n: int) -> tuple[bool, int, int, int]:
            opens = self.cases[n].opens
            return opens != opened, has[opens], -asked[opens], n

        return min(self._left, key=order)

    def _give(self, number: int, worker: _Worker) -> None:
        file = self.cases[number].file
        runs = set((self.measuring.reports / file.hypothesis.hypothesis).glob("*/"))
        if number in self._left:
            self._left.remove(number)
            self._before[number], fresh = runs, self.measuring.fresh
        else:  # where the worker that was killed began a run, that goes on, and no older one
            is_begun = runs != self._before.pop(number)
            fresh = self.measuring.fresh and not is_begun
        worker.number, worker.opened = number, self.cases[number].opens
        worker.say(path=file.path, text=file.text, overrides=file.overrides, fresh=fresh)

    def _started(self, slot: int) -> _Worker:
        process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, **self.environments[slot]},
            start_new_session=True,  # Ctrl-C comes to this process alone, which then lets them go
        )
        worker = _Worker(slot, process)
        worker.listeners = [
            threading.Thread(target=listen, args=(worker,), daemon=True)
            for listen in (self._listen, self._pass_on)
        ]
        for listener in worker.listeners:
            listener.start()
        self._workers.append(worker)
        common = self.measuring
        worker.say(
            reports=str(common.reports),
            lock=common.lock and str(common.lock),
            keep_going=common.keep_going,
            store=common.store and str(common.store.folder),
        )
        return worker

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        try:
            with worker.process.stdout as out:
                for line in out:
                    with suppress(ValueError):  # cut short by a kill
                        self._heard.put(_Heard(worker, json.loads(line)))
        finally:
            self._heard.put(_Heard(worker, None))

    def _pass_on(self, worker: _Worker) -> None:
        assert worker.process.stderr is not None
        with worker.process.stderr as errors:
            for line in errors:
                self.screen.say(line.rstrip())

    def _stop(self) -> None:
        """Let all workers go; those that do not end in time, or at a second Ctrl-C, are killed.

        One that measures nothing is killed at once: leaving PyTorch takes seconds.
        """
        self._is_stopped = True
        until = time.monotonic() + PATIENCE
        for worker in self._workers:
            worker.let_go()
            if worker.number is None:
                worker.process.kill()
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                until = 0.0
                worker.process.kill()
                worker.process.wait()
            for listener in worker.listeners:
                listener.join(1)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was killed (signal {-code}, {signal.strsignal(-code) or 'unknown'})"
