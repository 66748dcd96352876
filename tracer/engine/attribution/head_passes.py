"""Sources carried forward and targets backward through every layer, to be multiplied at its heads.

At each layer a source is what the heads' values read of it, V x (`FrozenBlock.values`), and a
target its gradient by the values (`FrozenBlock.value_gradients`); their product, head by head, is
what passes the head of the edge from the one to the other. The special-token prefix is carried like
any other position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen_graph import FrozenGraph, Reads
from tracer.engine.attribution.node_streams import NodePlaces, ordered
from tracer.engine.attribution.nodes import Writes
from tracer.engine.attribution.passes import EMBEDDING
from tracer.engine.attribution.sweep import source_nodes, target_nodes

HeadValues = list[list[Float[Tensor, "_ _"]]]
"""Of the rows that have entered, [row, pos · d_head] by layer and value head."""


class HeadBatch(NamedTuple):
    """Nodes that are carried together, those that enter first in front."""

    row_of: Int[Tensor, " node"]
    """By row of the graph, the row here; −1 of what is not in the batch."""
    layer: Int[Tensor, " row"]
    """At which each row enters."""
    positions: slice
    """Sources are carried from a position to the end, targets from the first one on."""
    is_one: bool = False
    """Whether all rows are the same sum of nodes."""

    def n_below(self, layer: int) -> int:
        """Sources that have entered before a layer's attention: those from layers below it."""
        return int((self.layer < layer).sum())

    def n_from(self, layer: int) -> int:
        """Targets at a layer or above it."""
        return int((self.layer >= layer).sum())


def graph_sources(graph: FrozenGraph) -> NodePlaces:
    """All sources in the order of their rows, the tokens of the special-token prefix too."""
    carried, prefix = source_nodes(graph.frozen, graph.chosen), graph.frozen.n_prefix
    pos = torch.arange(prefix, device=graph.frozen.device)
    rest = NodePlaces(graph.first_token + pos, torch.full_like(pos, EMBEDDING), pos)
    found = NodePlaces(*map(torch.cat, zip(carried, rest, strict=True)))
    return found.where(torch.argsort(found.row))


def graph_targets(graph: FrozenGraph) -> NodePlaces:
    """All targets in the order of their rows."""
    return target_nodes(graph.frozen, graph.chosen, len(graph.targets.logits))


def head_batches(graph: FrozenGraph, nodes: NodePlaces, *, backward: bool) -> list[HeadBatch]:
    """Batches of nodes, each with a row of its own."""
    n_pos = graph.frozen.n_pos
    order = ordered(nodes, nodes.pos + 1 if backward else n_pos - nodes.pos, backward=backward)
    batches: list[HeadBatch] = []
    for members in order.batches:
        row, width = order.row[members], order.n_pos(members)
        row_of = nowhere(graph)
        row_of[row] = torch.arange(len(row), device=row.device)
        positions = slice(0, width) if backward else slice(n_pos - width, n_pos)
        batches.append(HeadBatch(row_of, order.layer[members], positions))
    return batches


def together(graph: FrozenGraph, nodes: NodePlaces, *, backward: bool, n: int = 1) -> HeadBatch:
    """A batch whose only row is the sum of some nodes, or which has that row `n` times."""
    row_of = nowhere(graph)
    row_of[nodes.row] = 0
    layer = (nodes.layer.amax if backward else nodes.layer.amin)(0, keepdim=True).expand(n)
    if backward:
        return HeadBatch(row_of, layer, slice(0, int(nodes.pos.max()) + 1), is_one=True)
    return HeadBatch(row_of, layer, slice(int(nodes.pos.min()), graph.frozen.n_pos), is_one=True)


def nowhere(graph: FrozenGraph) -> Int[Tensor, " node"]:
    """By row of the graph, as a source or a target, −1: in no batch."""
    n = max(graph.constant + 1, graph.n_targets)
    return torch.full((n,), -1, device=graph.frozen.device)


def writes_of(graph: FrozenGraph, sources: Int[Tensor, " source"]) -> dict[int, Writes]:
    """What some sources write into the stream, by layer; the embeddings at `EMBEDDING`."""
    frozen, wanted = graph.frozen, nowhere(graph) >= 0
    wanted[sources] = True
    pos = torch.arange(frozen.n_pos, device=frozen.device)
    found = {EMBEDDING: Writes(graph.first_token + pos, pos, frozen.resid_pre[0])}
    found |= {layer: graph.writes(layer) for layer in range(frozen.n_layers)}
    return {
        layer: Writes(*(each[wanted[writes.rows]] for each in writes))
        for layer, writes in found.items()
    }


def source_values(graph: FrozenGraph, batch: HeadBatch, writes: dict[int, Writes]) -> HeadValues:
    """Carry sources forward; what each layer's value heads read of them."""
    frozen, here = graph.frozen, batch.positions
    shape = len(batch.layer), here.stop - here.start, len(frozen.resid_post)
    stream, found = frozen.resid_post.new_zeros(shape), HeadValues()
    _add(stream, batch, writes[EMBEDDING].rows, writes[EMBEDDING].pos, writes[EMBEDDING].vectors)
    for layer, block in enumerate(frozen.blocks):
        mine = stream[: batch.n_below(layer)]
        found.append(block.values(mine))
        skipped = graph.skip_jvp(layer, mine, here) if block.is_parallel else None
        block.attend_jvp(mine, here)
        if not block.is_parallel:
            skipped = graph.skip_jvp(layer, mine, here)
        if skipped is not None:
            mine += skipped
        _add(stream, batch, *writes[layer])
    return found


def value_gradients_of(
    graph: FrozenGraph, batch: HeadBatch, passes: Float[Tensor, "layer head row"] | None = None
) -> Iterator[tuple[int, Float[Tensor, "group shared row _"]]]:
    """Carry targets backward: from the last layer, the gradients by what its heads read.

    With `passes` every row is the same target, and has its own share of what each head passes on to
    the layers below; what it yields of the head itself is whole.
    """
    frozen, here = graph.frozen, batch.positions
    gradient = frozen.resid_post.new_zeros(len(batch.layer), here.stop, len(frozen.resid_post))
    last = torch.full((len(graph.targets.logits),), frozen.n_pos - 1, device=frozen.device)
    _read(gradient, batch, graph.chosen.n, last, graph.logit_reads())
    for layer in reversed(range(frozen.n_layers)):
        block, features = frozen.blocks[layer], graph.chosen.layers[layer]
        above, mine = batch.n_from(layer + 1), gradient[: batch.n_from(layer)]
        skipped = graph.skip_vjp(layer, gradient[:above], here)
        if block.is_parallel:
            mine = gradient[:above]
            found = block.value_gradients(mine)
            yield layer, found
            mine += block.values_vjp(_passed(found, layer, passes))
        if skipped is not None:
            gradient[:above] += skipped
        _read(gradient, batch, features.start, features.pos, graph.feature_reads(layer))
        if not block.is_parallel:
            found = block.value_gradients(mine)
            yield layer, found
            mine += block.values_vjp(_passed(found, layer, passes))


def _passed(
    gradients: Float[Tensor, "group shared row _"],
    layer: int,
    passes: Float[Tensor, "layer head row"] | None,
) -> Float[Tensor, "group shared row _"]:
    if passes is None:
        return gradients
    n_groups, n_shared, n_rows, _ = gradients.shape
    share = passes[layer, :, :n_rows].unflatten(0, (n_groups, n_shared))
    return gradients * share[..., None]


def _read(
    gradient: Float[Tensor, "row pos d_model"],
    batch: HeadBatch,
    first: int,
    pos: Int[Tensor, " n"],
    reads: Reads,
) -> None:
    """Let targets enter whose rows of the graph begin at `first`."""
    rows = torch.arange(first, first + len(pos), device=pos.device)
    _add(gradient, batch, rows, pos, reads.vectors)


def _add(
    stream: Float[Tensor, "row pos d_model"],
    batch: HeadBatch,
    rows: Int[Tensor, " n"],
    pos: Int[Tensor, " n"],
    vectors: Float[Tensor, "n d_model"],
) -> None:
    """stream[row, pos] += vector, of those rows of the graph that are in the batch.

    A sum of nodes enters every row of a batch that has it several times.
    """
    row = batch.row_of[rows]
    here = row >= 0
    at = row[here], pos[here] - batch.positions.start
    if not batch.is_one:
        stream.index_put_(at, vectors[here], accumulate=True)
    elif here.any():
        one = stream.new_zeros(1, *stream.shape[1:])
        stream += one.index_put_(at, vectors[here], accumulate=True)


def head_products(
    layer: int,
    starts: Sequence[HeadBatch],
    values: Sequence[HeadValues],
    end: HeadBatch,
    gradients: Float[Tensor, "group shared entered _"],
) -> Float[Tensor, "head source target"]:
    """loading_h = Σ_k V_h x_s(k) · ∂t/∂(V_h x)(k) at one layer; 0 of what has not entered."""
    n_groups, n_shared, n_targets, width = gradients.shape
    d_head = width // end.positions.stop
    n_rows = sum(len(batch.layer) for batch in starts)
    found = gradients.new_zeros(n_groups, n_rows, n_shared, len(end.layer))
    first = 0
    for batch, by_layer in zip(starts, values, strict=True):
        begin = batch.positions.start
        n_shared_pos = max(0, end.positions.stop - begin)
        for group, value in enumerate(by_layer[layer]):
            x = value[:, : n_shared_pos * d_head]
            g = gradients[group].flatten(0, 1)[:, begin * d_head :]
            product = (x @ g.T).unflatten(1, (n_shared, n_targets))
            found[group, first : first + len(x), :, :n_targets] = product
        first += len(batch.layer)
    return found.transpose(1, 2).flatten(0, 1)
