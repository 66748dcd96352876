"""Rows, and how many of them go through the model at once.

A row is one changed version of a prompt. Rows that share a freeze mode are run in batches; a batch
that memory does not hold is halved and run again. Running out of memory is a sentence for the user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tracer.engine.ablation import Kept
from tracer.engine.clean import CleanRun
from tracer.engine.cost import ROW_BUDGET, row_bytes, rows_per_batch
from tracer.engine.features.places import HEADS, Place, Places, PlaceValues, as_places
from tracer.engine.freeze import Freeze
from tracer.engine.memory import EXHAUSTED, free_memory, is_exhausted
from tracer.engine.model.model import Model
from tracer.engine.patterns import Look, PatternEdit
from tracer.errors import EngineError

Result = TypeVar("Result")


class Row:
    """One clamped version of a prompt.

    Attributes:
        values: What is set.
        freeze: What does not react.
        read: Features whose activation after the clamps is wanted.
        is_control: Whether only the tokens asked about are read of it.
        kept: All that stays, where the MLPs' outputs are ablated; rows run together share its base.
        patterns: Attention patterns that are set.
        looks: Weights of attention patterns that are wanted.
    """

    def __init__(
        self,
        values: Mapping[Place, float],
        freeze: Freeze = "none",
        read: Iterable[Place] | Places = (),
        is_control: bool = False,
        kept: Kept | None = None,
        patterns: Sequence[PatternEdit] = (),
        looks: Sequence[Look] = (),
    ) -> None:
        self.values, self.read = PlaceValues.of(values), as_places(read)
        self.freeze: Freeze = freeze
        self.is_control, self.kept = is_control, kept
        self.patterns, self.looks = tuple(patterns), tuple(looks)

    @property
    def kind(self) -> tuple[Freeze, bool]:
        """What the rows of a batch have in common."""
        return self.freeze, self.kept is not None

    def start(self, clean: CleanRun) -> tuple[int, int]:
        """First position that is changed or looked from, and first changed layer.

        A row without changes starts at the last position.
        """
        if self.kept is not None:
            return self.kept.base.start, min(self.kept.base.outputs)
        first = [edit.queries[0] for edit in (*self.patterns, *self.looks)]
        layers = [edit.layer for edit in self.patterns]
        if len(self.values):
            first.append(int(self.values.where[:, 1].min()))
            layers.append(int((self.values.where[:, 0] % HEADS).min()))
        return min(first, default=len(clean.ids) - 1), min(layers, default=0)


@dataclass
class BatchLimit:
    """How many rows go through the model at once; halved for good when memory runs out."""

    rows: int
    halved: int = 0


def batch_limit(model: Model, clean: CleanRun, budget: int = ROW_BUDGET) -> BatchLimit:
    """Rows whose logits, keys and values and hidden states fit into `budget` bytes."""
    widest = max(a.shape[-1] for a in clean.activations.values())
    one = row_bytes(len(clean.ids), clean.logits.numel(), clean.d_keys, widest)
    return BatchLimit(rows_per_batch(one, budget))


def in_batches(
    rows: Sequence[Row], clean: CleanRun, limit: BatchLimit, run: Callable[[list[int]], Result]
) -> Iterator[Result]:
    """What `run` makes of batches of rows (by number) that share a freeze mode and a base.

    Raises:
        EngineError: One row alone does not fit into memory.
    """
    order = sorted(range(len(rows)), key=lambda n: (rows[n].kind, *rows[n].start(clean)))
    while order:
        same = [n for n in order if rows[n].kind == rows[order[0]].kind]
        batch = same[: limit.rows]
        found = _if_it_fits(run, batch, clean)
        if found is None:
            free_memory()
            limit.rows = len(batch) // 2
            limit.halved += 1
            continue
        order = order[len(batch) :]
        yield found[0]


def _if_it_fits(
    run: Callable[[list[int]], Result], batch: list[int], clean: CleanRun
) -> tuple[Result] | None:
    """What a batch gives; None where memory does not hold it.

    Raises:
        EngineError: One row alone does not fit.
    """
    try:
        return (run(batch),)
    except EXHAUSTED as error:
        if not is_exhausted(error):
            raise
        if len(batch) > 1:
            return None
        raise EngineError(
            f"out of memory with a single row of prompt {clean.prompt.name!r} "
            f"({len(clean.ids)} tokens). Use a smaller model, dtype or prompt."
        ) from error
