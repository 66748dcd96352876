"""Readings of a prompt's rows: from the cache where it has them, else by measuring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.clean import CleanRun
from tracer.features.basis import FeatureBasis
from tracer.intervention import BatchLimit, Measured, Row, run_to_end
from tracer.model.model import Model
from tracer.progress import Advance
from tracer.readings import ControlReadings, control_readings, empty_readings, reading
from tracer.record import Reading
from tracer.row_cache import FoundRows, KeptRows, RowCache


class RowReadings(NamedTuple):
    """What was read off the rows of one call."""

    columns: ControlReadings
    """Of every row."""
    readings: Mapping[int, Reading]
    """Of the rows that are no controls."""
    activations: Mapping[int, Float[Tensor, " read"]]
    """Of the rows that are no controls, in the order of their `read`."""
    from_cache: bool


class _Batch(NamedTuple):
    """Rows of one batch, and what the unembedding read of them."""

    measured: Measured
    ends: Float[Tensor, "row d_model"]


def read_rows(
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    rows: Sequence[Row],
    limit: BatchLimit,
    cache: RowCache | None,
    advance: Advance,
) -> RowReadings:
    """Clamp a prompt in every way, and read the tokens its hypothesis asks about.

    The rows of one call share batches with one another and with no others, so that they come out
    the same whatever else a hypothesis holds. Rows whose batches were cut because memory ran out
    are not kept.

    Raises:
        EngineError: One row alone does not fit into memory.
    """
    asked = clean.prompt.asked
    key = cache.key(clean, rows, limit.rows) if cache else None
    found = cache.read(key, rows) if cache and key else None
    if found is not None and found.answers(asked):
        advance(len(rows))
        return _readings(found.of(asked), from_cache=True)
    halved = limit.halved
    batches = _measured(model, basis, clean, rows, limit) if found is None else _again(model, found)
    kept = _read(batches, rows, clean, model, advance)
    if cache and key and limit.halved == halved:
        cache.write(key, kept, asked)
    return _readings(kept, from_cache=found is not None)


def _measured(
    model: Model, basis: FeatureBasis, clean: CleanRun, rows: Sequence[Row], limit: BatchLimit
) -> Iterator[_Batch]:
    for measured, ends in run_to_end(model, basis, clean, rows, limit):
        yield _Batch(measured, ends)


def _again(model: Model, found: FoundRows) -> Iterator[_Batch]:
    """The batches of an entry, their logits made again."""
    kept = found.rows
    none = kept.ends.new_zeros(0)
    for batch in kept.batches:
        ends = kept.ends[list(batch)]
        activations = [kept.activations.get(row, none) for row in batch]
        yield _Batch(Measured(list(batch), model.unembed(ends), activations), ends)


def _read(
    batches: Iterable[_Batch],
    rows: Sequence[Row],
    clean: CleanRun,
    model: Model,
    advance: Advance,
) -> KeptRows:
    asked = clean.prompt.asked
    columns = empty_readings(len(rows), len(asked), clean.logits.dtype)
    readings: dict[int, Reading] = {}
    activations: dict[int, Tensor] = {}
    order: list[list[int]] = []
    ends: dict[int, Tensor] = {}
    for (numbers, logits, read), last in batches:
        found = control_readings(logits, list(asked.values()))
        for column, values in zip(columns, found, strict=True):
            column[numbers] = values
        for number, row, active in zip(numbers, logits, read, strict=True):
            if not rows[number].is_control:
                readings[number] = reading(row, asked, model.tokenizer)
                activations[number] = active
        ends.update(zip(numbers, last.cpu(), strict=True))
        order.append(numbers)
        advance(len(numbers))
    return KeptRows(
        columns, readings, activations, order, torch.stack([ends[n] for n in range(len(rows))])
    )


def _readings(kept: KeptRows, *, from_cache: bool) -> RowReadings:
    return RowReadings(kept.columns, kept.readings, kept.activations, from_cache)
