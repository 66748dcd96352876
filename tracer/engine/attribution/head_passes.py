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
from tracer.engine.attribution.frozen_block import FrozenBlock
from tracer.engine.attribution.frozen_graph import FrozenGraph, Reads
from tracer.engine.attribution.node_streams import NodeBatch, NodePlaces, ordered
from tracer.engine.attribution.nodes import LayerHeads, Writes

HeadValues = list[list[Float[Tensor, "_ _"]]]
"""Of the rows that have entered, [row, pos · d_head] by layer and value head."""
HeadGradients = Float[Tensor, "group shared entered pos d_head"]
"""Of targets that have entered, by what each head reads at each position."""


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
    carried = streams_of(graph, batch, writes)
    return [[value.flatten(1) for value in values] for _, values in carried]


def value_gradients_of(
    graph: FrozenGraph, batch: CarriedRows, passes: Float[Tensor, "layer head row"] | None = None
) -> Iterator[tuple[int, HeadGradients]]:
    """Carry targets backward: from the last layer, the gradients by what its heads read.

    With `passes` every row is the same target, and has its own share of what each head passes on to
    the layers below; what it yields of the head itself is whole.
    """
    frozen, here = graph.frozen, batch.positions
    n_rows, d_model = len(batch.depth), len(frozen.resid_post)
    storage = frozen.resid_post.new_zeros(n_rows, here.stop, d_model)
    carried = NodeBatch(slice(0, n_rows), batch.depth.tolist(), here, storage)
    last = torch.full((len(graph.targets.logits),), frozen.n_pos - 1, device=frozen.device)
    _enter(carried, batch, 2 * frozen.n_layers, graph.chosen.n, last, graph.logit_reads())
    for layer in reversed(range(frozen.n_layers)):
        block, features = frozen.blocks[layer], graph.chosen.layers[layer]
        if graph.basis.W_skip(layer) is not None:
            carried.make_dense()
        skipped = graph.skip_vjp(layer, carried.stream, here)
        if block.is_parallel:
            yield layer, _pass_heads(block, carried, None if passes is None else passes[layer])
        if skipped is not None:
            carried.stream.add_(skipped)
        reads = graph.feature_reads(layer)
        _enter(carried, batch, 2 * layer + 1, features.start, features.pos, reads)
        if not block.is_parallel:
            yield layer, _pass_heads(block, carried, None if passes is None else passes[layer])
        if (heads := graph.chosen.heads_at(layer)) is not None:
            _enter_heads(carried, batch, 2 * layer, heads)


def _pass_heads(
    block: FrozenBlock, carried: NodeBatch, passes: Float[Tensor, "head row"] | None
) -> HeadGradients:
    """The gradients by what a layer's heads read; what they pass on is added to the rows'."""
    carried.make_costly_dense(len(block.U))
    n_dense, n_rows = carried.n_dense, carried.n_entered
    n_groups, d_head, _ = block.V.shape
    shape = n_groups, block.n_shared, n_rows, carried.n_pos, d_head
    found = carried.storage.new_empty(shape)
    dense = found[:, :, :n_dense]
    block.value_gradients(carried.stream, dense)
    for number, (members, stream) in enumerate(carried.sparse_streams()):
        carried.sparse[number] = block.value_gradients_sparse(stream, found[:, :, members])
    if passes is not None:
        dense = dense * passes[:, :n_dense].unflatten(0, (n_groups, -1))[..., None, None]
    block.add_values_vjp(carried.stream, dense)
    return found


def _enter(
    carried: NodeBatch,
    batch: CarriedRows,
    depth: int,
    first: int,
    pos: Int[Tensor, " n"],
    reads: Reads,
) -> None:
    """Let the features of a layer, or the logits, enter; their rows begin at `first`."""
    if batch.is_one:
        carried.n_dense = batch.n_from(depth)
        rows = torch.arange(first, first + len(pos), device=pos.device)
        add_vectors(carried.stream, batch, rows, pos, reads.vectors)
        return
    which = _in_order(batch.row_of[first : first + len(pos)])
    carried.enter(pos[which], reads.vectors[which])


def _enter_heads(carried: NodeBatch, batch: CarriedRows, depth: int, heads: LayerHeads) -> None:
    """Let the heads of a layer enter: gradient[row, k] = spread[k] · vector."""
    which = _in_order(batch.row_of[heads.rows])
    spread, vectors = heads.spread[which][:, batch.positions], heads.vectors[which]
    if not batch.is_one:
        carried.enter_spread(spread, vectors)
        return
    carried.n_dense = batch.n_from(depth)
    carried.stream.add_(spread.T @ vectors)


def _in_order(row: Int[Tensor, " n"]) -> Int[Tensor, " carried"]:
    """Which of some nodes are carried, in the order of their rows."""
    which = (row >= 0).nonzero()[:, 0]
    return which[torch.argsort(row[which])]


def head_products(
    layer: int,
    starts: Sequence[CarriedRows],
    values: Sequence[HeadValues],
    end: CarriedRows,
    gradients: HeadGradients,
) -> Float[Tensor, "head source target"]:
    """loading_h = Σ_k V_h x_s(k) · ∂t/∂(V_h x)(k) at one layer; 0 of what has not entered."""
    n_groups, n_shared, n_targets, n_pos, d_head = gradients.shape
    n_rows = sum(len(batch.depth) for batch in starts)
    found = gradients.new_zeros(n_groups, n_rows, n_shared, len(end.depth))
    first = 0
    for batch, by_layer in zip(starts, values, strict=True):
        begin = batch.positions.start
        width = max(0, n_pos - begin) * d_head
        for group, value in enumerate(by_layer[layer]):
            x = value[:, :width]
            g = gradients[group].flatten(0, 1)[:, begin:].flatten(1)
            product = (x @ g.T).unflatten(1, (n_shared, n_targets))
            found[group, first : first + len(x), :, :n_targets] = product
        first += len(batch.depth)
    return found.transpose(1, 2).flatten(0, 1)
