"""What a graph says about groups of features: edges between them, and what ablating one would do.

Ablating features takes their edges away. The direct effect on a target is minus the edges' sum; the
total effect is that change carried on through every feature the graph keeps, each moving in
proportion to its input:

    Δ target = Σ_s edge(target, s) · δ_s,    δ_s = Δ a_s / a_s

with δ = −1 for the ablated and, going up the layers, Δ a_s the same sum for all others. Errors and
tokens do not move. This is the graph's prediction; clamping measures how true it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.record.graph.graph import AttributionGraph


class EdgeSum(NamedTuple):
    """All edges from one group to another."""

    weight: float
    """Their sum."""
    share: float | None
    """Of everything that enters the target group, signs left out; None where nothing does."""


def edges_between(
    graph: AttributionGraph, sources: Int[np.ndarray, " n"], targets: Int[np.ndarray, " m"]
) -> EdgeSum:
    """Edges from source features (columns) to targets (rows)."""
    rows = graph.edges[targets].astype(np.float64)
    weight = float(rows[:, sources].sum())
    entering = float(np.abs(rows).sum())
    return EdgeSum(weight, weight / entering if entering > 0 else None)


class Predicted(NamedTuple):
    """What ablating each of several groups does to one target, if the graph is right."""

    direct: Float[np.ndarray, " group"]
    total: Float[np.ndarray, " group"]


def ablation_effects(
    graph: AttributionGraph, groups: Sequence[Int[np.ndarray, " _"]], target: int
) -> Predicted:
    """Change of a target row when each group of features is set to 0."""
    n = graph.nodes.n_features
    moved = np.zeros((n, len(groups)), dtype=np.float32)
    ablated = np.zeros((n, len(groups)), dtype=bool)
    for number, members in enumerate(groups):
        ablated[members, number] = True
    moved[ablated] = -1
    row = graph.edges[target, :n]
    direct = row @ moved
    for layer in np.unique(graph.nodes.features[:, 0]):
        mine = graph.nodes.layer_slice(int(layer))
        entering = graph.edges[mine, : mine.start] @ moved[: mine.start]
        relative = entering / graph.nodes.activations[mine, None]
        moved[mine] = np.where(ablated[mine], -1, relative)
    return Predicted(direct.astype(np.float64), (row @ moved).astype(np.float64))
