"""Head loadings: how much of an edge passes through each attention head.

With u the gradient of target t by the output of layer l's attention, A the frozen pattern, V_s what
source s has put into the residual stream before the layer and n₁ the frozen norm before attention,

    loading_h(s → t) = Σ_{q, k}  u(q) · W_O^h · A_h(q, k) · W_V^h · n₁ V_s(k)

in the edge's unit and with its sign: what the target would lose if the head's values stayed without
the source. Every path that passes the head counts in full, whatever heads it passes before and
after, so loadings of different layers do not add up to an edge. Within one layer they do:

    Σ_h loading_h + what passes the layer by the residual stream (and the MLP's skip path) = edge

Sources are carried forward and targets backward, both through every layer (`FrozenGraph`); at each
layer the two are multiplied, head by head, at the values: a source as V x (`FrozenBlock.values`), a
target as its gradient by the values (`FrozenBlock.value_gradients`). The special-token prefix is
carried like any other position. Biases of values are constants, of which no source has a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.carried_rows import (
    CarriedRows,
    add_vectors,
    nowhere,
    sources_of,
    streams_of,
    writes_of,
)
from tracer.engine.attribution.frozen_graph import FrozenGraph, Reads
from tracer.engine.attribution.graph import Attributed
from tracer.engine.attribution.node_streams import BUDGET, NodePlaces, ordered
from tracer.engine.attribution.nodes import Writes
from tracer.engine.attribution.sweep import target_nodes
from tracer.engine.progress import Progress
from tracer.record.graph.graph import AttributionGraph, HeadLoadings

MOST_HEADS = 4
"""Heads that a graph keeps of an edge."""
_Values = list[list[Float[Tensor, "_ _"]]]
"""Of the rows that have entered, [row, pos · d_head] by layer and value head."""


def head_loadings(
    graph: FrozenGraph, sources: Sequence[int], targets: Sequence[int]
) -> Float[Tensor, "layer head"]:
    """Loadings of all edges together from a group of sources to a group of targets.

    Args:
        graph: The frozen prompt and its nodes.
        sources: Rows of sources, each once: features, errors, tokens (see `FrozenGraph`).
        targets: Rows of targets, each once: features, logits.
    """
    frozen = graph.frozen
    rows, columns = (torch.tensor([*each], device=frozen.device) for each in (sources, targets))
    start = _together(graph, sources_of(graph).where(rows), backward=False)
    end = _together(graph, _targets(graph).where(columns), backward=True)
    values = _values(graph, start, writes_of(graph, rows))
    found = frozen.resid_post.new_zeros(frozen.n_layers, len(frozen.blocks[0].weights.W_O))
    for layer, gradients in _value_gradients(graph, end):
        found[layer] = _products(layer, [start], [values], end, gradients)[:, 0, 0]
    return found


def edge_loadings(
    attributed: Attributed, kept: AttributionGraph, progress: Progress
) -> HeadLoadings:
    """For every edge of a graph, pruned or not, the `MOST_HEADS` heads that carry most of it.

    Args:
        attributed: The graph as it was taken.
        kept: The same graph, or what a pruning left of it.
        progress: Told of every batch.
    """
    graph, nodes = attributed.nodes, attributed.graph.nodes
    sources = torch.from_numpy(nodes.columns_of(kept.nodes)).to(graph.frozen.device)
    targets = torch.from_numpy(nodes.rows_of(kept.nodes)).to(graph.frozen.device)
    starts = _batches(graph, sources_of(graph).where(sources), backward=False)
    ends = _batches(graph, _targets(graph).where(targets), backward=True)
    to, from_ = (torch.from_numpy(each).to(sources.device) for each in np.nonzero(kept.edges))
    collected = _Strongest(graph, sources[from_], targets[to])
    writes, groups = writes_of(graph, sources), list(_groups(graph, starts))
    with progress.task("finding the heads of edges", len(groups) * len(ends)) as advance:
        for group in groups:
            values = [_values(graph, batch, writes) for batch in group]
            for end in ends:
                collected.add(group, values, end)
                advance(1)
    return collected.loadings()


def _targets(graph: FrozenGraph) -> NodePlaces:
    return target_nodes(graph.frozen, graph.chosen, len(graph.targets.logits))


def _batches(graph: FrozenGraph, nodes: NodePlaces, *, backward: bool) -> list[CarriedRows]:
    """Batches of nodes, each with a row of its own."""
    n_pos = graph.frozen.n_pos
    order = ordered(nodes, nodes.pos + 1 if backward else n_pos - nodes.pos, backward=backward)
    batches: list[CarriedRows] = []
    for members in order.batches:
        row, width = order.row[members], order.n_pos(members)
        row_of = nowhere(graph)
        row_of[row] = torch.arange(len(row), device=row.device)
        positions = slice(0, width) if backward else slice(n_pos - width, n_pos)
        batches.append(CarriedRows(row_of, order.layer[members], positions))
    return batches


def _together(graph: FrozenGraph, nodes: NodePlaces, *, backward: bool) -> CarriedRows:
    """A batch whose only row is the sum of some nodes."""
    row_of = nowhere(graph)
    row_of[nodes.row] = 0
    layer = (nodes.layer.amax if backward else nodes.layer.amin)(0, keepdim=True)
    if backward:
        return CarriedRows(row_of, layer, slice(0, int(nodes.pos.max()) + 1))
    return CarriedRows(row_of, layer, slice(int(nodes.pos.min()), graph.frozen.n_pos))


def _groups(graph: FrozenGraph, batches: Sequence[CarriedRows]) -> Iterator[list[CarriedRows]]:
    """Batches of sources whose values fit into half of the budget together."""
    value, size = graph.frozen.blocks[0].V, graph.frozen.resid_post.element_size()
    of_cell = graph.frozen.n_layers * len(value) * value.shape[1] * size
    group: list[CarriedRows] = []
    n_bytes = 0
    for batch in batches:
        n = len(batch.layer) * (batch.positions.stop - batch.positions.start) * of_cell
        if group and n_bytes + n > BUDGET / 2:
            yield group
            group, n_bytes = [], 0
        group.append(batch)
        n_bytes += n
    if group:
        yield group


def _values(graph: FrozenGraph, batch: CarriedRows, writes: dict[int, Writes]) -> _Values:
    """Carry sources forward; what each layer's value heads read of them."""
    blocks, streams = graph.frozen.blocks, streams_of(graph, batch, writes)
    return [block.values(mine) for block, mine in zip(blocks, streams, strict=True)]


def _value_gradients(
    graph: FrozenGraph, batch: CarriedRows
) -> Iterator[tuple[int, Float[Tensor, "group shared row _"]]]:
    """Carry targets backward: from the last layer, the gradients by what its heads read."""
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
            mine += block.values_vjp(found)
        if skipped is not None:
            gradient[:above] += skipped
        _read(gradient, batch, features.start, features.pos, graph.feature_reads(layer))
        if not block.is_parallel:
            found = block.value_gradients(mine)
            yield layer, found
            mine += block.values_vjp(found)


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


def _products(
    layer: int,
    starts: Sequence[CarriedRows],
    values: Sequence[_Values],
    end: CarriedRows,
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


class _Strongest:
    """The strongest loadings of edges, as they are found batch by batch."""

    def __init__(
        self, graph: FrozenGraph, sources: Int[Tensor, " edge"], targets: Int[Tensor, " edge"]
    ) -> None:
        """Rows of the graph, by edge."""
        self._graph, self._sources, self._targets = graph, sources, targets
        frozen = graph.frozen
        self._n_heads = len(frozen.blocks[0].weights.W_O)
        most = min(MOST_HEADS, self._n_heads * frozen.n_layers)
        self._heads = torch.full((len(sources), most), -1, device=frozen.device)
        self._weights = frozen.resid_post.new_zeros(len(sources), most)

    def add(
        self, starts: Sequence[CarriedRows], values: Sequence[_Values], end: CarriedRows
    ) -> None:
        """Find those of the edges from some sources to a batch of targets."""
        row_of, first = nowhere(self._graph), 0
        for batch in starts:
            row_of = torch.where(batch.row_of >= 0, batch.row_of + first, row_of)
            first += len(batch.layer)
        row, column = row_of[self._sources], end.row_of[self._targets]
        edges = ((row >= 0) & (column >= 0)).nonzero()[:, 0]
        row, column = row[edges], column[edges]
        n_layers = self._graph.frozen.n_layers
        every = self._weights.new_empty(n_layers, self._n_heads, len(edges))
        for layer, gradients in _value_gradients(self._graph, end):
            every[layer] = _products(layer, starts, values, end, gradients)[:, row, column]
        every = every.flatten(0, 1)
        strongest = every.abs().topk(self._weights.shape[1], 0).indices
        weights = every.gather(0, strongest)
        self._weights[edges] = weights.T
        self._heads[edges] = torch.where(weights != 0, strongest, -1).T

    def loadings(self) -> HeadLoadings:
        """Those of all edges."""
        heads, weights = self._heads.cpu().numpy(), self._weights.float().cpu().numpy()
        return HeadLoadings(self._n_heads, heads, weights)
