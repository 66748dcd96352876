"""Progress of long work: that it is alive, and how long each step took.

The engine speaks to a `Progress`; a front end draws it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

Advance = Callable[[int], None]


@runtime_checkable
class Progress(Protocol):
    """A place to report to."""

    def task(self, label: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Announce a step; the value advances it by n. `total` None: length unknown."""
        ...

    def note(self, text: str) -> None:
        """Tell the user one sentence they should not miss."""
        ...


class Silent:
    """Reports nothing: the default from Python."""

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance, None, None]:
        """See `Progress.task`."""
        yield lambda n: None

    def note(self, text: str) -> None:
        """See `Progress.note`."""


class Clock:
    """Wall time by step, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def stop(self, step: str) -> None:
        """Put the time since the last stop down to a step."""
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 3)
        self._last = now
