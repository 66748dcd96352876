"""What travels through the frozen layers together: chunks of neighbouring positions.

Targets travel down, sources up. A target at position p is carried at the positions up to p, a
source at those from p on: its *width*. Travellers are sorted by width, cut into chunks, and each
chunk is sorted by the layer it enters at, so that those on their way are always a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK_CELLS = 2048
"""Rows × positions of one chunk: enough for the matrix products, few enough to stay in cache."""


@dataclass(frozen=True)
class Order:
    """Travellers in the order they are carried."""

    row: Int[Tensor, " n"]
    """Which node each is."""
    layer: Int[Tensor, " n"]
    """Where it enters."""
    pos: Int[Tensor, " n"]
    width: Int[Tensor, " n"]
    chunks: tuple[slice, ...]

    def of(self, chunk: slice) -> int:
        """How many positions a chunk is carried at."""
        return int(self.width[chunk].max())


def travel_order(
    row: Int[Tensor, " n"],
    layer: Int[Tensor, " n"],
    pos: Int[Tensor, " n"],
    width: Int[Tensor, " n"],
    *,
    downwards: bool,
) -> Order:
    """Cut travellers into chunks of `CHUNK_CELLS` cells, and sort each by layer."""
    by_width = torch.argsort(width, stable=True)
    sign = -1 if downwards else 1
    sorted_: list[Tensor] = []
    chunks: list[slice] = []
    for chunk in _cut(width[by_width]):
        mine = by_width[chunk]
        sorted_.append(mine[torch.argsort(sign * layer[mine], stable=True)])
        chunks.append(chunk)
    order = torch.cat(sorted_) if sorted_ else by_width
    return Order(row[order], layer[order], pos[order], width[order], tuple(chunks))


def _cut(width: Int[Tensor, " n"]) -> Iterator[slice]:
    """Runs of an ascending width whose cells, at the run's largest, fit into a chunk."""
    values, counts = torch.unique_consecutive(width, return_counts=True)
    start = stop = 0
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        most = max(1, CHUNK_CELLS // max(1, value))
        if stop > start and stop - start + count > most:
            yield slice(start, stop)
            start = stop
        stop += count
        while stop - start > most:
            yield slice(start, start + most)
            start += most
    if stop > start:
        yield slice(start, stop)


@dataclass
class Chunk:
    """Travellers that are carried together."""

    places: slice
    """In their order."""
    layer: list[int]
    positions: slice
    """Where they are carried."""
    stream: Float[Tensor, "pos row d_model"]
    """By the residual stream (gradients, going down) or in it (going up), of those that entered."""

    @property
    def n_pos(self) -> int:
        """Carried positions."""
        return self.positions.stop - self.positions.start

    @property
    def live(self) -> slice:
        """Places of those that have entered."""
        return slice(self.places.start, self.places.start + self.stream.shape[1])

    def entering(self, layer: int) -> slice:
        """Places of those that enter at a layer."""
        n = sum(1 for each in self.layer if each == layer)
        return slice(self.live.stop, self.live.stop + n)

    def enter(self, layer: int) -> slice:
        """Take in those of a layer, with nothing in their streams; gives their places."""
        places = self.entering(layer)
        fresh = self.stream.new_zeros(self.n_pos, places.stop - places.start, self.stream.shape[2])
        self.stream = torch.cat([self.stream, fresh], dim=1)
        return places
