"""Rows of one prompt: from the cache where it has them, else measured, and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from tracer.engine.batches import BatchLimit, Row
from tracer.engine.cache import KeptRows, MeasurementCache, Remembered, keep, read_kept, rows_key
from tracer.engine.clean import (
    CleanRun,
    ControlReadings,
    control_readings,
    empty_readings,
    reading,
)
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.forward import Measured, read_of_rows
from tracer.engine.model.model import Model
from tracer.engine.progress import Advance
from tracer.record.trials import Reading


def read_rows(
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    rows: Sequence[Row],
    limit: BatchLimit,
    cache: MeasurementCache | None,
    advance: Advance,
) -> Remembered[KeptRows]:
    """Clamp a prompt in every way, and read the tokens its hypothesis asks about.

    The rows of one call share batches with one another and with no others, so that they come out
    the same whatever else a hypothesis holds. Rows whose batches were cut because memory ran out
    are not kept.

    Raises:
        EngineError: One row alone does not fit into memory.
    """
    asked = clean.prompt.asked
    key = rows_key(cache, clean, rows, limit.rows) if cache else ""
    found = read_kept(cache, key, rows) if cache else None
    if found is not None and found.answers(asked):
        advance(len(rows))
        return Remembered(found.of(asked), from_cache=True)
    halved = limit.halved
    read = partial(_read_batch, rows=rows, clean=clean, model=model)
    if found is None:
        batches = read_of_rows(model, basis, clean, rows, limit, read)
    else:
        batches = map(read, _again(model, found.rows))
    kept = _joined(batches, rows, clean, advance)
    if cache and limit.halved == halved:
        keep(cache, key, kept, asked)
    return Remembered(kept, from_cache=found is not None)


def _again(model: Model, kept: KeptRows) -> Iterator[Measured]:
    """The batches of an entry, their logits made again."""
    none = kept.ends.new_zeros(0)
    for batch in kept.batches:
        ends = kept.ends[list(batch)]
        activations = [kept.activations.get(row, none) for row in batch]
        looked = [kept.looked.get(row, none) for row in batch]
        yield Measured(list(batch), model.unembed(ends), activations, looked, ends)


class _ReadBatch(NamedTuple):
    """What is kept of a batch; all of it on the CPU."""

    numbers: list[int]
    """Of its rows."""
    columns: ControlReadings
    readings: Mapping[int, Reading]
    activations: Mapping[int, Tensor]
    looked: Mapping[int, Tensor]
    ends: Tensor


def _read_batch(
    measured: Measured, rows: Sequence[Row], clean: CleanRun, model: Model
) -> _ReadBatch:
    numbers, logits, read, seen, ends = measured
    asked = clean.prompt.asked
    shown = [n for n, number in enumerate(numbers) if not rows[number].is_control]
    at = torch.tensor(shown, dtype=torch.long, device=logits.device)
    whole = logits[at].cpu()
    return _ReadBatch(
        numbers,
        control_readings(logits, list(asked.values())),
        {
            numbers[n]: reading(row, asked, model.tokenizer)
            for n, row in zip(shown, whole, strict=True)
        },
        {numbers[n]: read[n] for n in shown},
        {n: x for n, x in zip(numbers, seen, strict=True) if rows[n].looks},
        ends.cpu(),
    )


def _joined(
    batches: Iterable[_ReadBatch], rows: Sequence[Row], clean: CleanRun, advance: Advance
) -> KeptRows:
    columns = empty_readings(len(rows), len(clean.prompt.asked), clean.logits.dtype)
    readings: dict[int, Reading] = {}
    activations: dict[int, Tensor] = {}
    looked: dict[int, Tensor] = {}
    order: list[list[int]] = []
    ends: dict[int, Tensor] = {}
    for batch in batches:
        for column, values in zip(columns, batch.columns, strict=True):
            column[batch.numbers] = values
        readings |= batch.readings
        activations |= batch.activations
        looked |= batch.looked
        ends.update(zip(batch.numbers, batch.ends, strict=True))
        order.append(batch.numbers)
        advance(len(batch.numbers))
    in_order = torch.stack([ends[n] for n in range(len(rows))])
    return KeptRows(columns, readings, activations, looked, order, in_order)
