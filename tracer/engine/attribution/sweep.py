"""The linear sweep: every edge of a prompt's graph from fixed linear maps, without autograd.

Everything between features is linear in the local replacement model. Going back through a layer is
one map (attention's output and value weights under the fixed pattern, times norm scales), the same
for every target; going forward is its transpose. So targets are carried down through the layers,
and sources up, all at once, and they meet where that is least work (`tracer.engine.attribution.schedule`).
A target that is passed on the way down, or a source, gives its edges as products with what stands
there. Three things more keep the work small: nothing is carried where it cannot matter (targets at
later positions, sources at earlier ones); those on their way are a prefix of their chunk; and the
opening special tokens, which nothing later can change, are not carried at all.

Memory for what is carried is bounded by `tracer.engine.attribution.schedule.BUDGET`; the edge matrix comes
on top.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.backward import Down, passes
from tracer.engine.attribution.edge_matrix import EdgeAccumulator, open_prompt
from tracer.engine.attribution.forward import Up
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.nodes import ChosenFeatures
from tracer.engine.attribution.schedule import (
    Chunk,
    Order,
    meeting_layer,
    source_nodes,
    target_nodes,
    travel_order,
)
from tracer.engine.attribution.targets import Targets
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.progress import Advance

SLAB = 64
"""Positions that are met in one product: both sides are copied for it."""


class Swept(NamedTuple):
    """Edges by source: features, errors and tokens in the graph's order; targets in its order."""

    edges: Float[Tensor, "source target"]
    constants: Float[Tensor, " target"]
    values: Float[Tensor, " target"]


class Journey(NamedTuple):
    """Who travels which way, and where they meet."""

    meeting: int
    down: Order
    passed: Tensor
    """Targets that sources pass on their way up, in the graph's order."""
    up: Order

    def n_steps(self, frozen: Frozen) -> int:
        """How often `sweep` advances."""
        n_passes = sum(1 for _ in passes(frozen, self.down))
        return self.meeting + n_passes * (frozen.n_layers - self.meeting)


def journey(frozen: Frozen, chosen: ChosenFeatures, targets: Targets) -> Journey:
    """Plan the least work."""
    readers = target_nodes(frozen, chosen, len(targets.logits))
    sources = source_nodes(frozen, chosen)
    meeting = meeting_layer(frozen, readers, sources)
    above, below = readers.where(readers.layer >= meeting), sources.where(sources.layer < meeting)
    return Journey(
        meeting=meeting,
        down=travel_order(*above, above.pos + 1 - frozen.n_fixed, downwards=True),
        passed=readers.row[readers.layer < meeting],
        up=travel_order(*below, frozen.n_pos - below.pos, downwards=False),
    )


def sweep(
    basis: FeatureBasis,
    frozen: Frozen,
    chosen: ChosenFeatures,
    targets: Targets,
    plan: Journey,
    advance: Advance,
) -> Swept:
    """Every edge of the graph; `advance` hears of each layer passed.

    Costs 2·d_head·d_model·(heads + groups) operations for each traveller, layer and position, and
    2·d_model for each edge (times the positions where both are carried, for those that meet).
    """
    ledger = EdgeAccumulator(
        basis, frozen, chosen, targets, torch.cat([plan.down.row, plan.passed])
    )
    opening = open_prompt(basis, frozen)
    up, down = Up(ledger, plan.up, opening), Down(ledger, plan.down, opening)
    risen = up.climb(plan.meeting, advance) if plan.meeting else []
    for chunks in passes(frozen, plan.down):
        down.enter_logits(chunks)
        for layer in reversed(range(plan.meeting, frozen.n_layers)):
            down.pass_layer(layer, chunks)
            advance(1)
        if plan.meeting:
            _meet(ledger, up, risen, chunks)
        else:
            down.reach_tokens(chunks)
    ledger.restore_order()
    return Swept(ledger.edges[:-1], ledger.edges[-1], ledger.values)


def _meet(ledger: EdgeAccumulator, up: Up, risen: list[Chunk], fallen: list[Chunk]) -> None:
    """Edges of targets from above with sources from below, over the positions both are at."""
    for chunk in fallen:
        chunk.arrive()
    targets = [(_joined(alike), alike) for alike in _alike(fallen)]
    for sources in _alike(risen):
        stream = _joined(sources)
        start = sources[0].positions.start
        rows = torch.cat([up.rows(chunk) for chunk in sources])
        for gradient, alike in targets:
            assert start >= alike[0].positions.start
            shared = gradient[:, start - alike[0].positions.start :]
            if n_pos := shared.shape[1]:
                found = stream.new_zeros(len(stream), len(gradient))
                both = zip(stream[:, :n_pos].split(SLAB, 1), shared.split(SLAB, 1), strict=True)
                for here, there in both:
                    found.addmm_(here.flatten(1), there.flatten(1).T)
                columns = slice(alike[0].live.start, alike[-1].live.stop)
                ledger.edges[:, columns].index_add_(0, rows, found)


def _alike(chunks: list[Chunk]) -> list[list[Chunk]]:
    """Runs of chunks that are carried at the same positions."""
    runs = groupby(chunks, key=lambda chunk: (chunk.positions.start, chunk.positions.stop))
    return [list(run) for _, run in runs]


def _joined(chunks: list[Chunk]) -> Float[Tensor, "row pos d_model"]:
    """Their streams in one."""
    return torch.cat([chunk.stream for chunk in chunks])
