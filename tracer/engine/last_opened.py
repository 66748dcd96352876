"""Keep open what was opened last, for a next caller that asks for the same.

A file of its own, because commands import it without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LastOpened(Generic[T]):
    """One thing that takes long to open, such as a model: files that share it open it once."""

    def __init__(self) -> None:
        self._held: tuple[object, T] | None = None

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The thing under a key; another one is let go of before it is made."""
        if self._held is not None and self._held[0] == key:
            return self._held[1]
        self._held = None
        made = make()
        self._held = (key, made)
        return made
