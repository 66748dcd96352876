"""Rows of nodes that are carried densely through every layer of a frozen graph.

A row is one node, or the sum of several: the frozen layers are linear, so what a group of sources
puts into the residual stream is carried as one. The special-token prefix is carried like any other
position. Nothing constant is carried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.node_streams import NodePlaces
from tracer.engine.attribution.nodes import Writes
from tracer.engine.attribution.passes import EMBEDDING
from tracer.engine.attribution.sweep import source_nodes
from tracer.engine.sums import add_rows


class CarriedRows(NamedTuple):
    """Which nodes are carried, in which rows; rows that enter first in front."""

    row_of: Int[Tensor, " node"]
    """By row of the graph, the row here; −1 of what is not carried."""
    depth: Int[Tensor, " row"]
    """At which each row enters (see `NodePlaces`)."""
    positions: slice
    """Sources are carried from a position on, targets from the first one."""
    is_one: bool = False
    """Whether all rows are the same sum of nodes."""

    def n_below(self, depth: int) -> int:
        """Sources that have entered before a depth: those from below it."""
        return int((self.depth < depth).sum())

    def n_from(self, depth: int) -> int:
        """Targets at a depth or above it."""
        return int((self.depth >= depth).sum())


def sources_of(graph: FrozenGraph) -> NodePlaces:
    """All sources in the order of their rows, the tokens of the special-token prefix too."""
    carried, prefix = source_nodes(graph), graph.frozen.n_prefix
    pos = torch.arange(prefix, device=graph.frozen.device)
    rest = NodePlaces(graph.first_token + pos, torch.full_like(pos, EMBEDDING), pos)
    found = NodePlaces(*map(torch.cat, zip(carried, rest, strict=True)))
    return found.where(torch.argsort(found.row))


def nowhere(graph: FrozenGraph) -> Int[Tensor, " node"]:
    """A `CarriedRows.row_of` that carries nothing."""
    n = max(graph.constant + 1, graph.n_targets)
    return torch.full((n,), -1, device=graph.frozen.device)


def writes_of(graph: FrozenGraph, sources: Int[Tensor, " source"]) -> dict[int, Writes]:
    """What some sources write into the stream, by depth; the embeddings at `EMBEDDING`."""
    frozen, wanted = graph.frozen, nowhere(graph) >= 0
    wanted[sources] = True
    pos = torch.arange(frozen.n_pos, device=frozen.device)
    found = {EMBEDDING: Writes(graph.first_token + pos, pos, frozen.resid_pre[0])}
    for layer in range(frozen.n_layers):
        if (of_heads := graph.head_writes(layer)) is not None:
            found[2 * layer] = of_heads
        found[2 * layer + 1] = graph.writes(layer)
    return {
        depth: Writes(*(each[wanted[writes.rows]] for each in writes))
        for depth, writes in found.items()
    }


class CarriedStream(NamedTuple):
    """What the rows that have entered put into the residual stream before a layer."""

    stream: Float[Tensor, "entered pos d_model"]
    """Valid until the next is asked for."""
    values: list[Float[Tensor, "entered pos d_head"]]
    """What each of the layer's value heads reads of it (`FrozenBlock.values`)."""


def streams_of(
    graph: FrozenGraph, rows: CarriedRows, writes: dict[int, Writes]
) -> Iterator[CarriedStream]:
    """Carry sources forward, one layer after the other."""
    frozen, here = graph.frozen, rows.positions
    shape = len(rows.depth), here.stop - here.start, len(frozen.resid_post)
    stream = frozen.resid_post.new_zeros(shape)
    add_vectors(stream, rows, *writes[EMBEDDING])
    for layer in range(frozen.n_layers):
        entered = stream[: rows.n_below(2 * layer)]
        values = frozen.blocks[layer].values(entered)
        yield CarriedStream(entered, values)
        if layer + 1 == frozen.n_layers:
            return
        _pass_layer(graph, layer, stream, values, rows, writes)


def _pass_layer(
    graph: FrozenGraph,
    layer: int,
    stream: Float[Tensor, "row pos d_model"],
    values: list[Float[Tensor, "entered pos d_head"]],
    rows: CarriedRows,
    writes: dict[int, Writes],
) -> None:
    block, here, depth = graph.frozen.blocks[layer], rows.positions, 2 * layer
    entered = stream[: rows.n_below(depth)]
    skipped = graph.skip_jvp(layer, entered, here) if block.is_parallel else None
    block.add_attended(entered, values, here)
    if depth in writes:
        add_vectors(stream, rows, *writes[depth])
    if not block.is_parallel:
        entered = stream[: rows.n_below(depth + 1)]
        skipped = graph.skip_jvp(layer, entered, here)
    if skipped is not None:
        entered += skipped
    add_vectors(stream, rows, *writes[depth + 1])


def add_vectors(
    stream: Float[Tensor, "row pos d_model"],
    carried: CarriedRows,
    rows: Int[Tensor, " n"],
    pos: Int[Tensor, " n"],
    vectors: Float[Tensor, "n d_model"],
) -> None:
    """stream[row, pos] += vector, of those rows of the graph, and positions, that are carried.

    A sum of nodes that is carried in several rows enters all of them.
    """
    row = carried.row_of[rows]
    here = (row >= 0) & (pos < carried.positions.stop)
    row, at, vectors = row[here], pos[here] - carried.positions.start, vectors[here]
    if not carried.is_one:
        n_rows, n_pos, d_model = stream.shape
        add_rows(stream.view(n_rows * n_pos, d_model), row * n_pos + at, vectors)
    elif len(row):
        stream += add_rows(stream.new_zeros(stream.shape[1:]), at, vectors)
