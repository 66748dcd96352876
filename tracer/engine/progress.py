"""How long work tells that it is alive; the engine speaks to this, a front end draws it."""

from __future__ import annotations

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
