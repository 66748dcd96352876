"""Head loadings: how much of an edge passes through each attention head.

With u the gradient of target t by the output of layer l's attention, A the frozen pattern, V_s what
source s has put into the residual stream before the layer and n₁ the frozen norm before attention,

    loading_h(s → t) = Σ_{q, k}  u(q) · W_O^h · A_h(q, k) · W_V^h · n₁ V_s(k)

in the edge's unit and with its sign: what the target would lose if the head's values stayed without
the source. Every path that passes the head counts in full, whatever heads it passes before and
after, so loadings of different layers do not add up to an edge. Within one layer they do:

    Σ_h loading_h + what passes the layer by the residual stream (and the MLP's skip path) = edge

Sources are carried forward and targets backward, and multiplied at every layer's heads: see
`head_passes`. Biases of values are constants, of which no source has a part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.carried_rows import CarriedRows, nowhere, sources_of, writes_of
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.graph import Attributed
from tracer.engine.attribution.head_passes import (
    HeadValues,
    head_batches,
    head_products,
    source_values,
    together,
    value_gradients_of,
)
from tracer.engine.attribution.node_streams import BUDGET, within_budget
from tracer.engine.attribution.sweep import target_nodes
from tracer.engine.progress import Progress
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.heads import HeadLoadings

MOST_HEADS = 4
"""Heads that a graph keeps of an edge."""


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
    start = together(graph, sources_of(graph).where(rows), backward=False)
    end = together(graph, target_nodes(graph).where(columns), backward=True)
    values = source_values(graph, start, writes_of(graph, rows))
    found = frozen.resid_post.new_zeros(frozen.n_layers, len(frozen.blocks[0].weights.W_O))
    for layer, gradients in value_gradients_of(graph, end):
        found[layer] = head_products(layer, [start], [values], end, gradients)[:, 0, 0]
    return found


def carried_by(
    graph: FrozenGraph,
    sources: Sequence[int],
    targets: Sequence[int],
    sets: Sequence[Collection[tuple[int, int]]],
) -> Float[Tensor, " set"]:
    """What all edges from one group to another would lose if some heads passed nothing on.

    That is what passes one head or more of a set, every path once. Of heads of one layer it is the
    sum of their loadings; of several layers it is the sum over the last head of the set that each
    path passes, so that those above it are cut while targets are carried backward.

    Args:
        graph: The frozen prompt and its nodes.
        sources: Rows of sources, each once.
        targets: Rows of targets, each once.
        sets: Heads, as (layer, head).
    """
    frozen = graph.frozen
    rows, columns = (torch.tensor([*each], device=frozen.device) for each in (sources, targets))
    start = together(graph, sources_of(graph).where(rows), backward=False)
    values = source_values(graph, start, writes_of(graph, rows))
    members = torch.zeros(
        frozen.n_layers, len(frozen.blocks[0].weights.W_O), len(sets), device=frozen.device
    )
    for number, heads in enumerate(sets):
        for layer, head in heads:
            members[layer, head, number] = 1
    of_set = frozen.n_pos * len(frozen.resid_post) * frozen.resid_post.element_size()
    found: list[Tensor] = []
    for part in members.to(frozen.dtype).split(max(1, BUDGET // (8 * of_set)), 2):
        end = together(graph, target_nodes(graph).where(columns), backward=True, n=part.shape[2])
        through = part.new_zeros(part.shape[2])
        for layer, gradients in value_gradients_of(graph, end, 1 - part):
            through_heads = head_products(layer, [start], [values], end, gradients)[:, 0]
            n = through_heads.shape[1]
            through[:n] += (through_heads * part[layer, :, :n]).sum(0)
        found.append(through)
    return torch.cat(found) if found else members.new_zeros(0)


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
    starts = head_batches(graph, sources_of(graph).where(sources), backward=False)
    ends = head_batches(graph, target_nodes(graph).where(targets), backward=True)
    to, from_ = (torch.from_numpy(each).to(sources.device) for each in np.nonzero(kept.edges))
    collected = _Strongest(graph, sources[from_], targets[to])
    writes, groups = writes_of(graph, sources), list(_groups(graph, starts))
    with progress.task("finding the heads of edges", len(groups) * len(ends)) as advance:
        for group in groups:
            values = [source_values(graph, batch, writes) for batch in group]
            for end in ends:
                collected.add(group, values, end)
                advance(1)
    return collected.loadings()


def _groups(graph: FrozenGraph, batches: Sequence[CarriedRows]) -> Iterator[list[CarriedRows]]:
    """Batches of sources whose values fit into half of the budget together."""
    value, size = graph.frozen.blocks[0].V, graph.frozen.resid_post.element_size()
    of_cell = graph.frozen.n_layers * len(value) * value.shape[1] * size

    def n_bytes(batch: CarriedRows) -> int:
        return len(batch.depth) * (batch.positions.stop - batch.positions.start) * of_cell

    return within_budget(batches, n_bytes)


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
        self, starts: Sequence[CarriedRows], values: Sequence[HeadValues], end: CarriedRows
    ) -> None:
        """Find those of the edges from some sources to a batch of targets."""
        row_of, first = nowhere(self._graph), 0
        for batch in starts:
            row_of = torch.where(batch.row_of >= 0, batch.row_of + first, row_of)
            first += len(batch.depth)
        row, column = row_of[self._sources], end.row_of[self._targets]
        edges = ((row >= 0) & (column >= 0)).nonzero()[:, 0]
        row, column = row[edges], column[edges]
        n_layers = self._graph.frozen.n_layers
        every = self._weights.new_empty(n_layers, self._n_heads, len(edges))
        for layer, gradients in value_gradients_of(self._graph, end):
            every[layer] = head_products(layer, starts, values, end, gradients)[:, row, column]
        every = every.flatten(0, 1)
        strongest = every.abs().topk(self._weights.shape[1], 0).indices
        weights = every.gather(0, strongest)
        self._weights[edges] = weights.T
        self._heads[edges] = torch.where(weights != 0, strongest, -1).T

    def loadings(self) -> HeadLoadings:
        """Those of all edges."""
        heads, weights = self._heads.cpu().numpy(), self._weights.float().cpu().numpy()
        return HeadLoadings(self._n_heads, heads, weights)
