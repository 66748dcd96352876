"""A place to report to that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracer.engine.progress import Advance


class Heard:
    """Keeps the labels of tasks with how far they came, and the notes."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.notes: list[str] = []
        self.done: dict[str, int] = {}

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Iterator[Advance]:
        self.labels.append(label)
        self.done[label] = 0

        def advance(n: int) -> None:
            self.done[label] += n

        yield advance

    def note(self, text: str) -> None:
        self.notes.append(text)
