"""The order of a sweep: which targets are carried together, and how many chunks at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.replacement.features import Chosen
from tracer.replacement.state import Frozen

BUDGET = 1 << 30
"""Bytes for the gradients that are carried at once; the edge matrix itself comes on top."""
CHUNK_CELLS = 2048
"""Rows × positions of one chunk: enough for the matrix products, few enough to stay in cache."""


@dataclass(frozen=True)
class Order:
    """Targets in the order they are swept: by chunk, and in it from the highest layer down."""

    row: Int[Tensor, " target"]
    layer: Int[Tensor, " target"]
    """The layer a target reads in; the number of layers for a logit."""
    pos: Int[Tensor, " target"]
    chunks: tuple[slice, ...]


@dataclass
class Chunk:
    """Targets of neighbouring positions on their way down."""

    columns: slice
    layer: list[int]
    n_pos: int
    """Carried positions: from the first that is not fixed to the last of its targets."""
    gradient: Float[Tensor, "pos row d_model"]
    """By the residual stream, for the targets that have entered."""

    @property
    def live(self) -> slice:
        """Columns of the targets that have entered."""
        return slice(self.columns.start, self.columns.start + self.gradient.shape[1])

    def entering(self, layer: int) -> slice:
        """Columns of the targets that enter at a layer."""
        n = sum(1 for each in self.layer if each == layer)
        return slice(self.live.stop, self.live.stop + n)


def sweep_order(frozen: Frozen, chosen: Chosen, n_logits: int) -> Order:
    """Group targets by position until a chunk is full, and sort each chunk by layer."""
    table = chosen.table()
    ends = torch.tensor([[frozen.n_layers, frozen.n_pos - 1]] * n_logits, device=frozen.device)
    places = torch.cat([table[:, :2], ends.view(-1, 2)])
    by_pos = torch.argsort(places[:, 1], stable=True)
    counts = torch.bincount(places[:, 1], minlength=frozen.n_pos).tolist()
    sorted_rows: list[Tensor] = []
    chunks: list[slice] = []
    start = 0
    for size in _chunk_sizes(counts, frozen.n_fixed):
        rows = by_pos[start : start + size]
        sorted_rows.append(rows[torch.argsort(-places[rows, 0], stable=True)])
        chunks.append(slice(start, start + size))
        start += size
    row = torch.cat(sorted_rows)
    return Order(row, places[row, 0], places[row, 1], tuple(chunks))


def _chunk_sizes(counts: Sequence[int], n_fixed: int) -> Iterator[int]:
    """Numbers of targets: neighbouring positions together, at most `CHUNK_CELLS` cells each."""
    size = 0
    for pos, count in enumerate(counts):
        width = max(1, pos + 1 - n_fixed)
        most = max(1, CHUNK_CELLS // width)
        if size and size + count > most:
            yield size
            size = 0
        size += count
        while size > most:
            yield most
            size -= most
    if size:
        yield size


def passes(frozen: Frozen, order: Order) -> Iterator[list[Chunk]]:
    """Chunks whose gradients fit into the budget together."""
    d_model = frozen.resid_post.numel()
    together: list[Chunk] = []
    n_bytes = 0
    for columns in order.chunks:
        n_pos = int(order.pos[columns].max()) + 1 - frozen.n_fixed
        size = n_pos * (columns.stop - columns.start) * d_model * frozen.resid_post.element_size()
        if together and n_bytes + size > BUDGET:
            yield together
            together, n_bytes = [], 0
        empty = torch.zeros(n_pos, 0, d_model, dtype=frozen.dtype, device=frozen.device)
        together.append(Chunk(columns, order.layer[columns].tolist(), n_pos, empty))
        n_bytes += size
    yield together
