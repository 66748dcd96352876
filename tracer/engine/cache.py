"""Measurements that are made once and read from disk after that: rows, graphs, circuits, texts.

What is kept lies under a hash of everything that it depends on: this package's code, the versions
and the hardware, the model, the basis, and the cause that a step names. So a hit is what measuring
would give, to the last bit.

A row depends on the prompt's tokens, the values that are set, what is frozen and read, and, in the
last bits, on the other rows of its batch: so an entry is all rows of one call, in their batches.
Which tokens are asked about is not in its key. An entry also keeps what the unembedding read, so
that a token asked about later is read off logits that are made again in the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clean import CleanRun, ControlReadings
from tracer.engine.features.open import OpenBasis
from tracer.engine.freeze import LINEAR
from tracer.engine.store import Store, StoredEntry, key_of
from tracer.engine.surroundings import own_code
from tracer.errors import TracerError
from tracer.record.record import Environment, ModelRecord
from tracer.record.trials import Reading

ROOMS = ("engine", "record")
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
    limit: BatchLimit | None,
    make: Callable[[], T],
) -> Remembered[T]:
    """A step's result from the cache, or made and kept; not kept if memory ran out in between.

    `limit` is what the step cuts its batches by; None for one that has none.
    """
    if cache is None:
        return Remembered(make(), from_cache=False)
    key = cache.key(step, cause())
    found = cache.read(key, form.unpack)
    if found is not None:
        return Remembered(found, from_cache=True)
    halved = limit.halved if limit else 0
    made = make()
    if limit is None or limit.halved == halved:
        cache.store.write(key, *form.pack(made))
    return Remembered(made, from_cache=False)


def identity(model: ModelRecord, features: OpenBasis, environment: Environment) -> tuple[Any, ...]:
    """What tells engines, models and bases apart that may differ in any bit."""
    about = environment.model_dump(mode="json", exclude={"python"})
    basis = features.basis
    dictionary = (basis.name, features.fingerprint, features.revision, basis.opening)
    weights = (model.fingerprint, model.dtype, model.device)
    return (own_code(ROOMS), about, _processor(model.device), *weights, *dictionary)


def _processor(devices: str) -> str:
    """The kind of each device: of a GPU its name and how it adds up, of a CPU its instructions.

    Products of float32 are full ones on every GPU, see `Model`.
    """
    products = torch.backends.cuda.matmul
    half = (
        products.allow_bf16_reduced_precision_reduction,
        products.allow_fp16_reduced_precision_reduction,
    )
    gpu = f"CUDA {torch.version.cuda}, half sums reduced {half}"
    return ", ".join(
        f"{torch.cuda.get_device_name(device)}, {gpu}"
        if device.startswith("cuda")
        else torch.backends.cpu.get_cpu_capability()
        for device in devices.split(", ")
    )


class KeptRows(NamedTuple):
    """What was read off the rows of one call, and what it takes to read more."""

    columns: ControlReadings
    """Of every row."""
    readings: Mapping[int, Reading]
    """Of the rows that are no controls."""
    activations: Mapping[int, Float[Tensor, " read"]]
    """Of the rows that are no controls, in the order of their `read`."""
    looked: Mapping[int, Float[Tensor, " look"]]
    """Of the rows that look at patterns, in the order of their `looks`."""
    batches: Sequence[Sequence[int]]
    """Numbers of the rows that went through the model together."""
    ends: Float[Tensor, "row d_model"]
    """What the unembedding read."""


class FoundRows(NamedTuple):
    """An entry, and the tokens it was read for."""

    rows: KeptRows
    tokens: Mapping[str, int]

    def answers(self, asked: Mapping[str, int]) -> bool:
        """Whether every token asked about was read."""
        return all(self.tokens.get(token) == number for token, number in asked.items())

    def of(self, asked: Mapping[str, int]) -> KeptRows:
        """Only the tokens asked about."""
        there = list(self.tokens)
        kept = [there.index(token) for token in asked]
        columns = self.rows.columns._replace(logits=self.rows.columns.logits[:, kept])
        readings = {
            row: reading.model_copy(update={"tokens": {t: reading.tokens[t] for t in asked}})
            for row, reading in self.rows.readings.items()
        }
        return self.rows._replace(columns=columns, readings=readings)


def rows_key(cache: MeasurementCache, clean: CleanRun, rows: Sequence[Row], at_once: int) -> str:
    """Hash of the rows of one call, of which at most `at_once` share a batch."""
    causes = [cause_of(row, clean) for row in rows]
    return cache.key("rows", [clean.prompt.ids, min(at_once, len(rows)), causes])


def cause_of(row: Row, clean: CleanRun) -> list[Any]:
    """A row's part of the key.

    Features that are read keep their clean activation where nothing reaches them, and with
    everything frozen clamps start from it; both may depend on which positions were encoded
    together.
    """
    assert row.kept is None, "what a row keeps of an ablated pass is not in the key"
    at = hash_of(row.read, clean.at(row.read).float().numpy())
    positions = clean.positions if row.freeze in LINEAR else ()
    values = hash_of(row.values.where, row.values.value)
    looks = [[look.heads, look.queries, look.keys] for look in row.looks]
    patterns = [edit.cause() for edit in row.patterns]
    return [row.freeze, row.is_control, values, at, positions, patterns, looks]


def hash_of(*arrays: np.ndarray) -> str:
    """SHA-256 over arrays of known types: their shapes and numbers."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def read_kept(cache: MeasurementCache, key: str, rows: Sequence[Row]) -> FoundRows | None:
    """The rows under a key, None where there is no sound entry of them."""
    return cache.read(key, lambda entry: _unpack(entry, rows))


def keep(cache: MeasurementCache, key: str, rows: KeptRows, tokens: Mapping[str, int]) -> None:
    """Keep rows that were read for some tokens."""
    arrays = {f"columns.{name}": x for name, x in rows.columns._asdict().items()}
    arrays |= {f"activations.{row}": x for row, x in rows.activations.items()}
    arrays |= {f"looked.{row}": x for row, x in rows.looked.items()}
    arrays["ends"] = rows.ends.to(torch.promote_types(rows.ends.dtype, torch.float32))
    about = {
        "tokens": dict(tokens),
        "batches": [list(batch) for batch in rows.batches],
        "readings": {str(n): r.model_dump(mode="json") for n, r in rows.readings.items()},
    }
    cache.store.write(key, {name: x.cpu().numpy() for name, x in arrays.items()}, about)


def _unpack(entry: StoredEntry, rows: Sequence[Row]) -> FoundRows:
    """An entry's rows, which fit the ones asked for.

    Raises:
        ValueError: They do not; the other errors of reading foreign data likewise.
    """
    arrays = {name: torch.tensor(x) for name, x in entry.arrays.items()}
    tokens: dict[str, int] = entry.about["tokens"]
    readings = {int(n): Reading.model_validate(r) for n, r in entry.about["readings"].items()}
    found = KeptRows(
        ControlReadings(*(arrays[f"columns.{name}"] for name in ControlReadings._fields)),
        readings,
        {row: arrays[f"activations.{row}"] for row in readings},
        {n: arrays[f"looked.{n}"] for n, row in enumerate(rows) if row.looks},
        entry.about["batches"],
        arrays["ends"],
    )
    shown = {n for n, row in enumerate(rows) if not row.is_control}
    fits = (
        found.columns.logits.shape == (len(rows), len(tokens))
        and found.columns.logsumexp.shape == found.columns.top.shape == (len(rows),)
        and sorted(n for batch in found.batches for n in batch) == list(range(len(rows)))
        and len(found.ends) == len(rows)
        and readings.keys() == shown
        and all(list(reading.tokens) == list(tokens) for reading in readings.values())
        and all(len(found.activations[n]) == len(rows[n].read) for n in shown)
        and all(len(x) == len(rows[n].looks) for n, x in found.looked.items())
    )
    if not fits:
        raise ValueError("an entry of other rows")
    return FoundRows(found, tokens)
