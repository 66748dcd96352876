"""Whole steps of a run that were measured once: graphs, circuits' scores, texts.

A step's result is kept under a hash of everything that it depends on, as rows are
(`row_cache.py`), and comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tracer.errors import TracerError
from tracer.intervention import BatchLimit
from tracer.measurement_store import Entry, Store, key_of

T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """How a step's result is kept."""

    pack: Callable[[T], Entry]
    unpack: Callable[[Entry], T]
    """Raises for an entry that is none: any error of reading foreign data."""


@dataclass(frozen=True)
class Remembered(Generic[T]):
    """A step's result, and whether it was there already."""

    result: T
    from_cache: bool


@dataclass(frozen=True)
class StepCache:
    """Measured steps of one model with one basis."""

    store: Store
    identity: tuple[Any, ...]
    """Everything but a step's own cause that its numbers depend on."""

    def key(self, step: str, cause: Any) -> str:
        """Hash of one step; `cause` is a JSON value."""
        return key_of([step, self.identity, cause])

    def read(self, key: str, form: Form[T]) -> T | None:
        """The result under a key, None where there is no sound entry of it."""
        entry = self.store.read(key)
        if entry is None:
            return None
        try:
            return form.unpack(entry)
        except (KeyError, IndexError, TypeError, ValueError, TracerError):
            return None


def remembered(
    cache: StepCache | None, key: str, form: Form[T], limit: BatchLimit, make: Callable[[], T]
) -> Remembered[T]:
    """A step's result from the cache, or made and kept; not kept if memory ran out in between."""
    found = cache.read(key, form) if cache else None
    if found is not None:
        return Remembered(found, from_cache=True)
    halved = limit.halved
    made = make()
    if cache and limit.halved == halved:
        cache.store.write(key, *form.pack(made))
    return Remembered(made, from_cache=False)
