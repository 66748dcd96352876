"""How the rows of one call are kept in the cache, and what their key holds.

What a row gives depends on the prompt's tokens, the values that are set, what is frozen and read,
and, in the last bits, on the rows of its batch: an entry is one call's rows in their batches. Which
tokens are asked about is not in the key. An entry also keeps what the unembedding read, so that a
token asked about later is read off logits that are made again in the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.batches import Row
from tracer.engine.cache import MeasurementCache
from tracer.engine.clean import CleanRun, ControlReadings
from tracer.engine.store import StoredEntry
from tracer.record.trials import Reading


class KeptRows(NamedTuple):
    """What was read off the rows of one call, and what it takes to read more."""

    columns: ControlReadings
    """Of every row."""
    readings: Mapping[int, Reading]
    """Of the rows that are no controls."""
    activations: Mapping[int, Float[Tensor, " read"]]
    """Of the rows that are no controls, in the order of their `read`."""
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
    at = [float(clean.activation(layer, pos)[index]) for layer, pos, index in row.read]
    positions = clean.positions if row.freeze == "all" else ()
    values = [[*place, value] for place, value in row.values.items()]
    return [row.freeze, row.is_control, values, row.read, at, positions]


def read_kept(cache: MeasurementCache, key: str, rows: Sequence[Row]) -> FoundRows | None:
    """The rows under a key, None where there is no sound entry of them."""
    return cache.read(key, lambda entry: _unpack(entry, rows))


def keep(cache: MeasurementCache, key: str, rows: KeptRows, tokens: Mapping[str, int]) -> None:
    """Keep rows that were read for some tokens."""
    arrays = {f"columns.{name}": x for name, x in rows.columns._asdict().items()}
    arrays |= {f"activations.{row}": x for row, x in rows.activations.items()}
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
    )
    if not fits:
        raise ValueError("an entry of other rows")
    return FoundRows(found, tokens)
