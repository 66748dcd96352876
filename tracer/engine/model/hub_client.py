"""How `huggingface_hub` behaves while tracer uses it: what it draws, says, and waits for."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import huggingface_hub
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    tqdm,
)

from tracer.engine.progress import Advance, Progress

PATIENCE = 30.0
"""Seconds for which a hub that says nothing is waited for, at each attempt."""
MB = 10**6
_hub: Any = huggingface_hub
_AnyBar: Any = tqdm


def telling_bar(advance: Advance) -> type:
    """A class for the library's bars: draws nothing, and passes on the MB that have come.

    One of its bars counts what came over the network, another what was put together: the higher
    count is told.
    """
    told = 0

    class Bar(_AnyBar):
        def __init__(self, *args: Any, **more: Any) -> None:
            self._n_bytes = 0 if more.get("unit") == "B" else None
            super().__init__(*args, **more)

        def update(self, n: int | float | None = 1) -> bool | None:
            nonlocal told
            if self._n_bytes is not None:
                self._n_bytes += int(n or 0)
                if (more := self._n_bytes // MB - told) > 0:
                    told += more
                    advance(more)
            return super().update(n)

    return Bar


def set_patience() -> None:
    """Let questions to the hub end after `PATIENCE`: the library asks most without a limit."""
    hooks = _hub.get_session().event_hooks
    if _limit not in hooks["request"]:
        _hub.get_session().event_hooks = hooks | {"request": [*hooks["request"], _limit]}


def _limit(request: Any) -> None:
    """Set what the library left out, before a request is sent."""
    limits: dict[str, float | None] = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        kind: PATIENCE if limits.get(kind) is None else limits[kind]
        for kind in ("connect", "read", "write", "pool")
    }


class _Telling(logging.Handler):
    """Passes on what the library warns of, such as that it waits for the hub, once each."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress, self._told = progress, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        first = record.getMessage().splitlines()[0].rstrip(".")
        if first not in self._told:
            self._told.add(first)
            self._progress.note(f"huggingface_hub: {first}")


@contextmanager
def warnings_told(progress: Progress) -> Generator[None, None, None]:
    """Warnings of the library are notes, and not lines across the progress."""
    logger = logging.getLogger("huggingface_hub")
    own = logger.handlers[:]
    logger.handlers = [_Telling(progress)]
    try:
        yield
    finally:
        logger.handlers = own


@contextmanager
def no_bars() -> Generator[None, None, None]:
    """The library draws no bars of its own."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
