"""What travels through the frozen layers together: chunks of neighbouring positions.

Targets travel down, sources up. A target at position p is carried at the positions up to p, a
source at those from p on: its *width*. Travellers are sorted by width, cut into chunks, and each
chunk is sorted by the layer they enter at, so that those on their way are always a prefix.

Where targets and sources meet: the layer that makes the least work.

Targets of the layers above the meeting are carried down to it, sources of the layers below it up.
An edge is found where a traveller passes the other end's layer, or, for a target from above and a
source from below, as one product of the two streams at the meeting. With half of the nodes on each
side and all positions alike, that halves the layers that are travelled; and where features crowd at
a prompt's end, sources from below are carried at few positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.frozen_block import Cohort, entering
from tracer.engine.attribution.nodes import ChosenFeatures

CHUNK_CELLS = 2048
"""Rows × positions of one chunk: enough for the matrix products, few enough to stay in cache."""

LEAST_ROWS = 16
"""However long the prompt."""


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

    def chunk(self, places: slice, positions: slice, like: Float[Tensor, " d_model"]) -> Chunk:
        """Those at `places`, before any of them has entered."""
        n_rows, n_pos = places.stop - places.start, positions.stop - positions.start
        room = like.new_empty(n_rows, n_pos, len(like))
        return Chunk(places, self.layer[places].tolist(), positions, room)


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
        most = max(LEAST_ROWS, CHUNK_CELLS // max(1, value))
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
    """Travellers that are carried together; the later they entered, the further behind."""

    places: slice
    """In their order."""
    layer: list[int]
    positions: slice
    """Where they are carried."""
    room: Float[Tensor, "row pos d_model"]
    """For the streams of all of them."""
    n_live: int = 0
    """How many have a whole stream."""
    young: list[Cohort] = field(default_factory=list[Cohort])
    """Those that entered last, oldest first."""

    @property
    def n_pos(self) -> int:
        """Carried positions."""
        return self.positions.stop - self.positions.start

    @property
    def stream(self) -> Float[Tensor, "row pos d_model"]:
        """By the residual stream (gradients, going down) or in it (going up), of the live ones."""
        return self.room[: self.n_live]

    @property
    def live(self) -> slice:
        """Places of those in `stream`."""
        return slice(self.places.start, self.places.start + self.n_live)

    def cohorts(self) -> Iterator[tuple[slice, Cohort]]:
        """The young, with their places."""
        start = self.live.stop
        for cohort in self.young:
            yield slice(start, start + cohort.n_rows), cohort
            start += cohort.n_rows

    def entering(self, layer: int) -> slice:
        """Places of those that enter at a layer."""
        start = self.live.stop + sum(cohort.n_rows for cohort in self.young)
        return slice(start, start + sum(1 for each in self.layer if each == layer))

    def enter(self, at: Int[Tensor, " row"], vectors: Float[Tensor, "row d_model"]) -> None:
        """Take in the next ones, each with a vector at a position."""
        if len(vectors):
            self.young.append(entering(at - self.positions.start, vectors, self.n_pos))

    def meet(
        self, at: Int[Tensor, " n"], vectors: Float[Tensor, "n d_model"]
    ) -> Float[Tensor, "n row"]:
        """Products of `stream` with vectors, each at its position, which ascend."""
        found = vectors.new_empty(len(vectors), self.n_live)
        counts = torch.bincount(at, minlength=self.n_pos).tolist()
        there = zip(vectors.split(counts), found.split(counts), strict=True)
        for here, (some, into) in zip(self.stream.unbind(1), there, strict=True):
            torch.mm(some, here.T, out=into)
        return found

    def mature(self, n_heads: int) -> None:
        """Give those a whole stream for whom terms no longer pay."""
        while self.young and not self.young[0].pays(n_heads):
            self._settle(self.young.pop(0))

    def arrive(self) -> None:
        """Give everyone a whole stream."""
        for cohort in self.young:
            self._settle(cohort)
        self.young = []

    def _settle(self, cohort: Cohort) -> None:
        start, self.n_live = self.n_live, self.n_live + cohort.n_rows
        cohort.fill(self.room[start : self.n_live])


BUDGET = 1 << 30
"""Bytes for the streams that are held at once; the edge matrix itself comes on top."""


class NodePlaces(NamedTuple):
    """Layer, position and row of targets, or of sources."""

    row: Int[Tensor, " n"]
    layer: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]

    def where(self, mask: Tensor) -> NodePlaces:
        """Some of them."""
        return NodePlaces(self.row[mask], self.layer[mask], self.pos[mask])


def target_nodes(frozen: Frozen, chosen: ChosenFeatures, n_logits: int) -> NodePlaces:
    """Features, then logits, which read after the last layer."""
    table = chosen.table()
    ends = torch.tensor([[frozen.n_layers, frozen.n_pos - 1]] * n_logits, device=frozen.device)
    places = torch.cat([table[:, :2], ends.view(-1, 2)])
    return NodePlaces(torch.arange(len(places), device=frozen.device), places[:, 0], places[:, 1])


def source_nodes(frozen: Frozen, chosen: ChosenFeatures) -> NodePlaces:
    """Features, errors, and the tokens that are carried, which write before the first layer."""
    carried = torch.arange(frozen.n_fixed, frozen.n_pos, device=frozen.device)
    layers = torch.arange(frozen.n_layers, device=frozen.device)
    places = torch.cat(
        [
            chosen.table()[:, :2],
            torch.cartesian_prod(layers, carried),
            torch.stack([torch.full_like(carried, -1), carried], 1),
        ]
    )
    row = torch.arange(len(places), device=frozen.device)
    row[len(places) - len(carried) :] += frozen.n_fixed
    return NodePlaces(row, places[:, 0], places[:, 1])


def meeting_layer(frozen: Frozen, targets: NodePlaces, sources: NodePlaces) -> int:
    """The layer before whose block they meet; 0 carries everything down."""
    d_model = frozen.resid_post.numel()
    weights = frozen.blocks[0].weights
    carry = 2.0 * d_model * weights.W_O.shape[1] * (len(weights.W_O) + len(weights.W_V))
    size = d_model * frozen.resid_post.element_size()
    best = (float("inf"), 0)
    for layer in range(frozen.n_layers + 1):
        down, up = _down(frozen, targets, layer), _up(frozen, sources, layer)
        if layer and float(up.widths.sum()) * size > BUDGET / 2:
            break
        work = carry * (down.travelled + up.travelled)
        work += 2.0 * d_model * _overlap(frozen, down, up) if layer else 0.0
        best = min(best, (work, layer))
    return best[1]


class _Travel(NamedTuple):
    travelled: float
    """Layers × positions, over all."""
    widths: Float[Tensor, " pos"]
    """Number of travellers at each position, as they meet."""


def _down(frozen: Frozen, targets: NodePlaces, layer: int) -> _Travel:
    mine = targets.layer >= layer
    width = targets.pos[mine] + 1 - frozen.n_fixed
    steps = _whole((targets.layer + 1).clamp_max(frozen.n_layers)[mine] - layer, width, frozen)
    at = torch.bincount(targets.pos[mine], minlength=frozen.n_pos).double()
    return _Travel(float((steps * width).sum()), at.flip(0).cumsum(0).flip(0))


def _up(frozen: Frozen, sources: NodePlaces, layer: int) -> _Travel:
    mine = sources.layer < layer
    width = frozen.n_pos - sources.pos[mine]
    steps = _whole(layer - 1 - sources.layer[mine], width, frozen)
    travelled = float((steps * width).sum())
    at = torch.bincount(sources.pos[mine], minlength=frozen.n_pos).double()
    return _Travel(travelled, at.cumsum(0))


def _whole(steps: Tensor, width: Tensor, frozen: Frozen) -> Tensor:
    """Layers that are passed with a whole stream: the first ones cost little, see `Cohort`."""
    return (steps - young_passes(width, len(frozen.blocks[0].weights.W_O))).clamp_min(0)


def young_passes(width: Int[Tensor, " n"], n_heads: int) -> Int[Tensor, " n"]:
    """Passes through attention that `Cohort` makes on terms, for travellers of such widths."""
    passes, n_terms = torch.zeros_like(width), 1 + n_heads
    while bool((n_terms <= width).any()):
        passes += n_terms <= width
        n_terms *= 1 + n_heads
    return passes


def _overlap(frozen: Frozen, down: _Travel, up: _Travel) -> float:
    return float((down.widths * up.widths)[frozen.n_fixed :].sum())
