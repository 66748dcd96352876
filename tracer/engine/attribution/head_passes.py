"""Sources carried forward and targets backward through every layer, to be multiplied at its heads.

At each layer a source is what the heads' values read of it, V x (`FrozenBlock.values`), and a
target its gradient by the values (`FrozenBlock.value_gradients`); their product, head by head, is
what passes the head of the edge from the one to the other. The special-token prefix is carried like
any other position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.carried_rows import (
    CarriedRows,
    add_vectors,
    nowhere,
    streams_of,
)
from tracer.engine.attribution.frozen_graph import FrozenGraph, Reads
from tracer.engine.attribution.node_streams import NodePlaces, ordered
from tracer.engine.attribution.nodes import LayerHeads, Writes

HeadValues = list[list[Float[Tensor, "_ _"]]]
"""Of the rows that have entered, [row, pos · d_head] by layer and value head."""


def head_batches(graph: FrozenGraph, nodes: NodePlaces, *, backward: bool) -> list[CarriedRows]:
    """Batches of nodes, each with a row of its own."""
    n_pos = graph.frozen.n_pos
    order = ordered(nodes, nodes.pos + 1 if backward else n_pos - nodes.pos, backward=backward)
    batches: list[CarriedRows] = []
    for members in order.batches:
        row, width = order.row[members], order.n_pos(members)
        row_of = nowhere(graph)
        row_of[row] = torch.arange(len(row), device=row.device)
        positions = slice(0, width) if backward else slice(n_pos - width, n_pos)
        batches.append(CarriedRows(row_of, order.depth[members], positions))
    return batches


def together(graph: FrozenGraph, nodes: NodePlaces, *, backward: bool, n: int = 1) -> CarriedRows:
    """A batch whose only row is the sum of some nodes, or which has that row `n` times."""
    row_of = nowhere(graph)
    row_of[nodes.row] = 0
    depth = (nodes.depth.amax if backward else nodes.depth.amin)(0, keepdim=True).expand(n)
    if backward:
        return CarriedRows(row_of, depth, slice(0, int(nodes.pos.max()) + 1), is_one=True)
    return CarriedRows(row_of, depth, slice(int(nodes.pos.min()), graph.frozen.n_pos), is_one=True)


def source_values(graph: FrozenGraph, batch: CarriedRows, writes: dict[int, Writes]) -> HeadValues:
    """Carry sources forward; what each layer's value heads read of them."""
    blocks, streams = graph.frozen.blocks, streams_of(graph, batch, writes)
    return [block.values(mine) for block, mine in zip(blocks, streams, strict=True)]


def value_gradients_of(
    graph: FrozenGraph, batch: CarriedRows, passes: Float[Tensor, "layer head row"] | None = None
) -> Iterator[tuple[int, Float[Tensor, "group shared row _"]]]:
    """Carry targets backward: from the last layer, the gradients by what its heads read.

    With `passes` every row is the same target, and has its own share of what each head passes on to
    the layers below; what it yields of the head itself is whole.
    """
    frozen, here = graph.frozen, batch.positions
    gradient = frozen.resid_post.new_zeros(len(batch.depth), here.stop, len(frozen.resid_post))
    last = torch.full((len(graph.targets.logits),), frozen.n_pos - 1, device=frozen.device)
    _read(gradient, batch, graph.chosen.n, last, graph.logit_reads())
    for layer in reversed(range(frozen.n_layers)):
        block, features = frozen.blocks[layer], graph.chosen.layers[layer]
        above, mine = batch.n_from(2 * layer + 2), gradient[: batch.n_from(2 * layer + 1)]
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
        if (heads := graph.chosen.heads_at(layer)) is not None:
            _read_heads(gradient, batch, heads)


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
    batch: CarriedRows,
    first: int,
    pos: Int[Tensor, " n"],
    reads: Reads,
) -> None:
    """Let targets enter whose rows of the graph begin at `first`."""
    rows = torch.arange(first, first + len(pos), device=pos.device)
    add_vectors(gradient, batch, rows, pos, reads.vectors)


def _read_heads(
    gradient: Float[Tensor, "row pos d_model"], batch: CarriedRows, heads: LayerHeads
) -> None:
    """Let heads enter: gradient[row, k] += spread[k] · vector, of those that are carried."""
    row = batch.row_of[heads.rows]
    spread, vectors = heads.spread[row >= 0, : batch.positions.stop], heads.vectors[row >= 0]
    found = spread[..., None] * vectors[:, None]
    if batch.is_one:
        gradient += found.sum(0)
    else:
        gradient.index_add_(0, row[row >= 0], found)


def head_products(
    layer: int,
    starts: Sequence[CarriedRows],
    values: Sequence[HeadValues],
    end: CarriedRows,
    gradients: Float[Tensor, "group shared entered _"],
) -> Float[Tensor, "head source target"]:
    """loading_h = Σ_k V_h x_s(k) · ∂t/∂(V_h x)(k) at one layer; 0 of what has not entered."""
    n_groups, n_shared, n_targets, width = gradients.shape
    d_head = width // end.positions.stop
    n_rows = sum(len(batch.depth) for batch in starts)
    found = gradients.new_zeros(n_groups, n_rows, n_shared, len(end.depth))
    first = 0
    for batch, by_layer in zip(starts, values, strict=True):
        begin = batch.positions.start
        n_shared_pos = max(0, end.positions.stop - begin)
        for group, value in enumerate(by_layer[layer]):
            x = value[:, : n_shared_pos * d_head]
            g = gradients[group].flatten(0, 1)[:, begin * d_head :]
            product = (x @ g.T).unflatten(1, (n_shared, n_targets))
            found[group, first : first + len(x), :, :n_targets] = product
        first += len(batch.depth)
    return found.transpose(1, 2).flatten(0, 1)
