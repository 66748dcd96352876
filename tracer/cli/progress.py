"""Progress of long work: a spinner on a terminal, plain lines on a pipe or a file.

Drawing runs in a thread of its own, because the longest steps (importing torch, reading weights)
are single calls that report nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from tracer.engine.progress import Advance, Progress
from tracer.report.screen import Screen

EVERY = 30.0
"""Seconds between two plain lines of one step."""


@contextmanager
def progress_on(screen: Screen, *, quiet: bool) -> Generator[Progress, None, None]:
    """Draw on this screen while the block runs; `quiet` leaves only the notes."""
    with progress_of_several(screen, 1, quiet=quiet) as alone:
        yield alone[0]


@contextmanager
def progress_of_several(
    screen: Screen, n: int, *, quiet: bool
) -> Generator[Sequence[Progress], None, None]:
    """The progress of n that work at the same time, drawn as one; each tells its own steps."""
    if quiet:
        yield [_NotesOnly(screen)] * n
    elif screen.live:
        with _spinner(screen) as bars:
            yield [_Live(screen, bars)] * n
    else:
        plain = [PlainProgress(screen) for _ in range(n)]
        with ExitStack() as ticking:
            for each in plain:
                ticking.enter_context(each.ticking())
            yield plain


@dataclass(frozen=True)
class _NotesOnly:
    screen: Screen

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        yield lambda n: None

    def note(self, text: str) -> None:
        self.screen.say(f"note: {text}")


def _left(seconds: float | None) -> str:
    """What a step still takes at its pace; nothing where that is not known, or no time."""
    return f", about {seconds:.0f} s left" if seconds and seconds >= 1 else ""


class _Clock(ProgressColumn):
    def render(self, task: Task) -> Text:
        told = f"{task.elapsed or 0:.0f} s{_left(task.time_remaining)}"
        return Text(told, style="dim")


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")


def _spinner(screen: Screen) -> RichProgress:
    return RichProgress(
        SpinnerColumn("line" if screen.ascii else "dots"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        _Count(),
        _Clock(),
        console=screen.console,
        transient=True,
    )


@dataclass(frozen=True)
class _Live:
    screen: Screen
    bars: RichProgress

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        bar = self.bars.add_task(self.screen.text(label).plain, total=total)
        try:
            yield lambda n: self.bars.advance(bar, n)
        finally:
            self.bars.remove_task(bar)

    def note(self, text: str) -> None:
        self.screen.say(f"note: {text}")


@dataclass(eq=False)
class _Step:
    label: str
    total: int | None
    started: float = field(default_factory=time.monotonic)
    done: int = 0

    def advance(self, n: int) -> None:
        self.done += n

    def line(self) -> str:
        count = "" if self.total is None else f" {self.done}/{self.total}"
        elapsed = time.monotonic() - self.started
        to_do = (self.total or 0) - self.done
        left = elapsed * to_do / self.done if self.done else None
        return f"{self.label}{count} ({elapsed:.0f} s{_left(left)})"


class PlainProgress:
    """Lines on a pipe or a file: one when a step begins, then one every half a minute."""

    def __init__(self, screen: Screen, every: float = EVERY) -> None:
        self._screen = screen
        self._every = every
        self._steps: list[_Step] = []
        self._announced: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    @contextmanager
    def ticking(self) -> Generator[None, None, None]:
        """Write about the innermost step for as long as the block runs."""
        ticker = threading.Thread(target=self._tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            self._stop.set()
            ticker.join()

    def _tick(self) -> None:
        while not self._stop.wait(self._every):
            with self._lock:
                if self._steps:
                    self._screen.say(self._steps[-1].line())

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        """See `Progress.task`."""
        step = _Step(label, total)
        with self._lock:
            self._steps.append(step)
            if label not in self._announced:
                self._announced.add(label)
                self._screen.say(label)
        try:
            yield step.advance
        finally:
            with self._lock:
                self._steps.remove(step)

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        with self._lock:
            self._screen.say(f"note: {text}")
