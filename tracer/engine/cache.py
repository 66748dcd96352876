"""Measurements that are made once and read from disk after that: rows, graphs, circuits, texts.

What is kept lies under a hash of everything that it depends on: this package's code, the versions
and the hardware, the model, the basis, and the cause that a step names. So a hit is what measuring
would give, to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from tracer.engine.batches import BatchLimit
from tracer.engine.features.open import OpenBasis
from tracer.engine.store import Store, StoredEntry, key_of
from tracer.errors import TracerError
from tracer.record.record import Environment, ModelRecord

_ROOMS = ("engine", "record")
"""The code that turns rows and steps into numbers, and into what is kept of them."""

T = TypeVar("T")


@dataclass(frozen=True)
class MeasurementCache:
    """Measurements of one model with one basis."""

    store: Store
    identity: tuple[Any, ...]
    """Everything but a step's own cause that its numbers depend on."""

    def key(self, step: str, cause: Any) -> str:
        """Hash of one step; `cause` is a JSON value."""
        return key_of([step, self.identity, cause])

    def read(self, key: str, unpack: Callable[[StoredEntry], T]) -> T | None:
        """The result under a key; None where `unpack` finds no sound entry of it."""
        entry = self.store.read(key)
        if entry is None:
            return None
        try:
            return unpack(entry)
        except (LookupError, TypeError, ValueError, RuntimeError, TracerError):
            return None


@dataclass(frozen=True)
class StepForm(Generic[T]):
    """How a step's result is kept."""

    pack: Callable[[T], StoredEntry]
    unpack: Callable[[StoredEntry], T]
    """Raises for an entry that is none: any error of reading foreign data."""


@dataclass(frozen=True)
class Remembered(Generic[T]):
    """A result, and whether it was measured before."""

    result: T
    from_cache: bool


def remembered(
    cache: MeasurementCache | None,
    step: str,
    cause: Callable[[], Any],
    form: StepForm[T],
    limit: BatchLimit,
    make: Callable[[], T],
) -> Remembered[T]:
    """A step's result from the cache, or made and kept; not kept if memory ran out in between."""
    if cache is None:
        return Remembered(make(), from_cache=False)
    key = cache.key(step, cause())
    found = cache.read(key, form.unpack)
    if found is not None:
        return Remembered(found, from_cache=True)
    halved = limit.halved
    made = make()
    if limit.halved == halved:
        cache.store.write(key, *form.pack(made))
    return Remembered(made, from_cache=False)


def identity(model: ModelRecord, features: OpenBasis, environment: Environment) -> tuple[Any, ...]:
    """What tells engines, models and bases apart that may differ in any bit."""
    about = environment.model_dump(mode="json", exclude={"python"})
    dictionary = (features.basis.name, features.fingerprint, features.revision)
    kinds = torch.backends.cpu.get_cpu_capability()
    return (_code(), about, kinds, model.fingerprint, model.dtype, model.device, *dictionary)


@cache
def _code() -> str:
    return code_hash(Path(__file__).parents[1])


def code_hash(package: Path) -> str:
    """SHA-256 over the sources of every room that numbers depend on: their names and bytes."""
    total = hashlib.sha256()
    for path in sorted(p for room in _ROOMS for p in (package / room).rglob("*.py")):
        total.update(f"{path.relative_to(package).as_posix()}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()
