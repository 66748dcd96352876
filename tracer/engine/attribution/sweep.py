"""The linear sweep: every edge of a prompt's graph from fixed linear maps, without autograd.

Everything between features is linear in the local replacement model. A layer is one map, the same
for every node: attention's output and value weights under the fixed pattern, times norm scales.
Going back through it (VJP) is its transpose. A node that is carried gives its edges as products
with what is written, or read, at each layer that it passes.

Targets that enter at or above the *split layer* are carried backward to it, sources that enter
below it forward; the edges between these two are one product of their streams at the split layer.
The split is where that is least work: with half of the nodes on each side and all positions alike
it halves the layers that are passed, and where features crowd at a prompt's end, sources are
carried at few positions.

Three things more keep the work small: nothing is carried where it cannot matter (targets at later
positions, sources at earlier ones); streams stay sparse while that is cheaper; and the
special-token prefix is not carried at all. `BUDGET` of `node_streams` bounds the memory for what
is carried; the edge matrix comes on top.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, prefix_streams
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.frozen_graph import FrozenGraph
from tracer.engine.attribution.node_streams import (
    BUDGET,
    NodeBatch,
    NodeOrder,
    NodePlaces,
    n_sparse_passes,
    ordered,
)
from tracer.engine.attribution.passes import BackwardPass, ForwardPass, batch_groups
from tracer.engine.progress import Advance
from tracer.engine.sums import add_rows

SLAB = 64
"""Positions in one product at the split layer: both sides are copied for it."""


class Swept(NamedTuple):
    """Edges by source: features, errors and tokens in the graph's order; targets in its order."""

    edges: Float[Tensor, "source target"]
    constants: Float[Tensor, " target"]
    values: Float[Tensor, " target"]


def sweep(graph: FrozenGraph, plan: SweepPlan, advance: Advance) -> Swept:
    """Every edge of the graph; `advance` hears of each layer passed.

    Costs 2·d_head·d_model·(heads + groups) operations for each node, layer and position, and
    2·d_model for each edge (times the positions where both are carried, for those at the split).
    """
    order = torch.cat([plan.backward.row_on_cpu, plan.reached])
    accumulator, frozen = EdgeAccumulator(graph, order), graph.frozen
    prefix = prefix_streams(graph.basis, frozen)
    forward = ForwardPass(accumulator, plan.forward, prefix)
    backward = BackwardPass(accumulator, plan.backward, prefix)
    sources = forward.carry_to(plan.split_layer, advance) if plan.split_layer else []
    for group in batch_groups(frozen, plan.backward):
        batches = backward.start(group)
        for layer in reversed(range(plan.split_layer, frozen.n_layers)):
            backward.pass_layer(layer, batches)
            advance(1)
        if plan.split_layer:
            _add_edges_at_split(accumulator, forward, sources, batches)
        else:
            backward.add_token_edges(batches)
    accumulator.restore_order()
    return Swept(accumulator.edges[:-1], accumulator.edges[-1], accumulator.values)


def _add_edges_at_split(
    accumulator: EdgeAccumulator,
    forward: ForwardPass,
    sources: list[NodeBatch],
    targets: list[NodeBatch],
) -> None:
    """edges[s, t] += Σ_pos x_s[pos] · g_t[pos], over the positions where both are carried."""
    for batch in targets:
        batch.make_dense()
    gradients = [(_joined(run), run) for run in _runs(targets)]
    for source_run in _runs(sources):
        stream, start = _joined(source_run), source_run[0].positions.start
        rows = torch.cat([forward.rows(batch) for batch in source_run])
        for gradient, run in gradients:
            assert start >= run[0].positions.start
            shared = gradient[:, start - run[0].positions.start :]
            if n_pos := shared.shape[1]:
                found = stream.new_zeros(len(stream), len(gradient))
                slabs = zip(stream[:, :n_pos].split(SLAB, 1), shared.split(SLAB, 1), strict=True)
                for x, g in slabs:
                    found.addmm_(x.flatten(1), g.flatten(1).T)
                columns = slice(run[0].dense.start, run[-1].dense.stop)
                add_rows(accumulator.edges[:, columns], rows, found)


def _runs(batches: list[NodeBatch]) -> list[list[NodeBatch]]:
    """Runs of batches that are carried at the same positions."""
    runs = groupby(batches, key=lambda batch: (batch.positions.start, batch.positions.stop))
    return [list(run) for _, run in runs]


def _joined(batches: list[NodeBatch]) -> Float[Tensor, "row pos d_model"]:
    return torch.cat([batch.stream for batch in batches])


class SweepPlan(NamedTuple):
    """Which nodes are carried in which direction, and where the two directions meet."""

    split_layer: int
    """Before whose block streams and gradients are multiplied; 0 carries all targets down."""
    backward: NodeOrder
    """Targets that are carried."""
    reached: Int[Tensor, " target"]
    """Targets below the split layer, which sources reach, in the graph's order; on the CPU."""
    forward: NodeOrder
    """Sources that are carried."""

    def n_steps(self, frozen: Frozen) -> int:
        """How often `sweep` advances."""
        n_groups = sum(1 for _ in batch_groups(frozen, self.backward))
        return self.split_layer + n_groups * (frozen.n_layers - self.split_layer)


def plan_sweep(graph: FrozenGraph) -> SweepPlan:
    """The plan that takes the least work."""
    frozen = graph.frozen
    readers, sources = target_nodes(graph), source_nodes(graph)
    at_targets = readers.to("cpu")
    split = split_layer(frozen, at_targets, sources.to("cpu"))
    above = readers.where(readers.depth >= 2 * split)
    below = sources.where(sources.depth < 2 * split)
    return SweepPlan(
        split_layer=split,
        backward=ordered(above, above.pos + 1 - frozen.n_prefix, backward=True),
        reached=at_targets.row[at_targets.depth < 2 * split],
        forward=ordered(below, frozen.n_pos - below.pos, backward=False),
    )


def target_nodes(graph: FrozenGraph) -> NodePlaces:
    """Features and heads, then logits, which read after the last layer: the order of their rows."""
    frozen, n_logits = graph.frozen, len(graph.targets.logits)
    ends = torch.tensor([[2 * frozen.n_layers, frozen.n_pos - 1]] * n_logits, device=frozen.device)
    places = torch.cat([graph.chosen.table()[:, :2], ends.view(-1, 2)])
    return NodePlaces(torch.arange(len(places), device=frozen.device), *places.unbind(1))


def source_nodes(graph: FrozenGraph) -> NodePlaces:
    """Features and heads, errors, and the tokens that are carried, which write before any layer."""
    frozen = graph.frozen
    carried = torch.arange(frozen.n_prefix, frozen.n_pos, device=frozen.device)
    depths = 2 * torch.arange(frozen.n_layers, device=frozen.device) + 1
    errors = torch.cartesian_prod(depths, carried)
    tokens = torch.stack([torch.full_like(carried, -1), carried], 1)
    places = torch.cat([graph.chosen.table()[:, :2], errors, tokens])
    row = torch.arange(len(places), device=frozen.device)
    row[len(places) - len(carried) :] += frozen.n_prefix
    return NodePlaces(row, *places.unbind(1))


def split_layer(frozen: Frozen, targets: NodePlaces, sources: NodePlaces) -> int:
    """The layer before whose block the two directions meet; 0 carries all targets backward."""
    d_model = frozen.resid_post.numel()
    weights = frozen.blocks[0].weights
    carry = 2.0 * d_model * weights.W_O.shape[1] * (len(weights.W_O) + len(weights.W_V))
    size = d_model * frozen.resid_post.element_size()
    best = (float("inf"), 0)
    for layer in range(frozen.n_layers + 1):
        backward, forward = _backward(frozen, targets, layer), _forward(frozen, sources, layer)
        if layer and float(forward.nodes_at.sum()) * size > BUDGET / 2:
            break
        # 2 · d_model · d_head · (heads + groups) operations a node, layer and position that is
        # passed densely; 2 · d_model a position that source and target share at the split
        work = carry * (backward.passed + forward.passed)
        shared = float((backward.nodes_at * forward.nodes_at)[frozen.n_prefix :].sum())
        best = min(best, (work + 2.0 * d_model * shared if layer else work, layer))
    return best[1]


class _Load(NamedTuple):
    passed: float
    """Layers × positions, over all nodes."""
    nodes_at: Float[Tensor, " pos"]
    """Number of nodes at each position, at the split layer."""


def _backward(frozen: Frozen, targets: NodePlaces, split: int) -> _Load:
    mine = targets.where(targets.depth >= 2 * split)
    layers = torch.div(mine.depth + 1, 2, rounding_mode="floor") - split
    n_at = torch.bincount(mine.pos, minlength=frozen.n_pos).double()
    passed = _passed(frozen, layers, mine.pos + 1 - frozen.n_prefix)
    return _Load(passed, n_at.flip(0).cumsum(0).flip(0))


def _forward(frozen: Frozen, sources: NodePlaces, split: int) -> _Load:
    mine = sources.where(sources.depth < 2 * split)
    n_at = torch.bincount(mine.pos, minlength=frozen.n_pos).double()
    layers = split - 1 - torch.div(mine.depth, 2, rounding_mode="floor")
    passed = _passed(frozen, layers, frozen.n_pos - mine.pos)
    return _Load(passed, n_at.cumsum(0))


def _passed(frozen: Frozen, layers: Tensor, width: Tensor) -> float:
    """Layers × positions that are passed densely: sparse passes cost little."""
    sparse = n_sparse_passes(width, len(frozen.blocks[0].weights.W_O))
    return float(((layers - sparse).clamp_min(0) * width).sum())
