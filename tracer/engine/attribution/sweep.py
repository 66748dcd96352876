"""The linear sweep: every edge of a prompt's graph from fixed linear maps, without autograd.

Everything between features is linear in the local replacement model. A layer is one map, the same
for every node: attention's output and value weights under the fixed pattern, times norm scales.
Going back through it (VJP) is its transpose. So targets are carried backward and sources forward,
all at once, and meet at the layer where that is least work (`tracer.engine.attribution.schedule`).
A node that is carried gives its edges as products with what is written, or read, at each layer.
Three things more keep the work small: nothing is carried where it cannot matter (targets at later
positions, sources at earlier ones); streams stay sparse while that is cheaper; and the
special-token prefix is not carried at all.

`tracer.engine.attribution.node_order.BUDGET` bounds the memory for what is carried; the edge matrix
comes on top.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.backward import BackwardPass, batch_groups
from tracer.engine.attribution.edge_matrix import EdgeAccumulator
from tracer.engine.attribution.forward import ForwardPass
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.node_order import NodeBatch
from tracer.engine.attribution.nodes import ChosenFeatures
from tracer.engine.attribution.schedule import SweepPlan
from tracer.engine.attribution.special_prefix import prefix_streams
from tracer.engine.attribution.targets import Targets
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.progress import Advance

SLAB = 64
"""Positions in one product at the split layer: both sides are copied for it."""


class Swept(NamedTuple):
    """Edges by source: features, errors and tokens in the graph's order; targets in its order."""

    edges: Float[Tensor, "source target"]
    constants: Float[Tensor, " target"]
    values: Float[Tensor, " target"]


def sweep(
    basis: FeatureBasis,
    frozen: Frozen,
    chosen: ChosenFeatures,
    targets: Targets,
    plan: SweepPlan,
    advance: Advance,
) -> Swept:
    """Every edge of the graph; `advance` hears of each layer passed.

    Costs 2·d_head·d_model·(heads + groups) operations for each node, layer and position, and
    2·d_model for each edge (times the positions where both are carried, for those at the split).
    """
    order = torch.cat([plan.backward.row, plan.reached])
    accumulator = EdgeAccumulator(basis, frozen, chosen, targets, order)
    prefix = prefix_streams(basis, frozen)
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
                accumulator.edges[:, columns].index_add_(0, rows, found)


def _runs(batches: list[NodeBatch]) -> list[list[NodeBatch]]:
    """Runs of batches that are carried at the same positions."""
    runs = groupby(batches, key=lambda batch: (batch.positions.start, batch.positions.stop))
    return [list(run) for _, run in runs]


def _joined(batches: list[NodeBatch]) -> Float[Tensor, "row pos d_model"]:
    return torch.cat([batch.stream for batch in batches])
