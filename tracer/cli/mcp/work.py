"""A tool's work in a thread: told to the client as progress, and stopped where it cancels.

The engine reports every step and every batch. There it is stopped as by Ctrl-C: what was measured
is kept, and the same call goes on from it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

import anyio
from mcp.server.session import ServerSession

from tracer.cli.measuring import INTERRUPTED
from tracer.cli.progress import PlainProgress
from tracer.engine.progress import Advance, Progress
from tracer.errors import TracerError
from tracer.report.screen import Screen

T = TypeVar("T")
EVERY = 2.0
"""Seconds between two notifications about one step."""


async def done_in_thread(work: Callable[[Progress], T], session: ServerSession) -> T:
    """What the work gives; a cancellation returns only when the thread has ended.

    Raises:
        TracerError: As the work does, or because it was stopped.
    """
    loop, stop, numbers = asyncio.get_running_loop(), threading.Event(), count(1)

    def tell(line: str) -> None:
        told = session.report_progress(next(numbers), None, line)
        asyncio.run_coroutine_threadsafe(told, loop)

    def run() -> T:
        plain = PlainProgress(Screen(_Lines(tell)), EVERY)
        with plain.ticking():
            try:
                return work(_Stoppable(plain, stop))
            except KeyboardInterrupt:  # which would end the whole loop
                raise TracerError(INTERRUPTED.sentence) from None

    future = loop.run_in_executor(None, run)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([future])
        raise


@dataclass
class _Lines:
    """A stream of which each whole line is told."""

    tell: Callable[[str], None]
    begun: str = field(default="")

    def write(self, text: str, /) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in filter(None, lines):
            self.tell(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but an unfinished line."""


@dataclass(frozen=True)
class _Stoppable:
    """A `Progress` at which work ends once it is to stop."""

    inner: Progress
    stop: threading.Event

    def _check(self) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        self._check()
        with self.inner.task(label, total) as advance:

            def counted(n: int) -> None:
                advance(n)
                self._check()

            yield counted

    def note(self, text: str) -> None:
        self._check()
        self.inner.note(text)
