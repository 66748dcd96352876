"""Influence: how much of the output runs through each node, whatever the sign.

Each target's incoming |edges| are divided by their sum; influence is what arrives at a node when
the logits' weights flow back along these shares, over paths of every length (Ameisen et al. 2025):

    influence = p (A + A² + A³ + …)

Edges lead upwards, so a layer's influence is complete once all layers above have passed theirs on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.graph.blocks import from_the_top
from tracer.graph.graph import AttributionGraph
from tracer.graph.nodes import Nodes

_NOTHING = 1e-30
"""A row of edges that sums to less has none; float32 could not hold its shares."""


class Influence(NamedTuple):
    """What arrives at each node; float64, from 0 to the sum of the logits' weights.

    No path meets a node twice, but it meets many: the sum over all nodes has no such bound.
    """

    features: Float[np.ndarray, " feature"]
    errors: Float[np.ndarray, " error"]
    tokens: Float[np.ndarray, " token"]
    logits: Float[np.ndarray, " logit"]
    """The weights the logits start with, as they are: probabilities need not sum to 1."""

    @property
    def sources(self) -> Float[np.ndarray, " source"]:
        """In the order of the edge matrix's columns."""
        return np.concatenate([self.features, self.errors, self.tokens])

    @property
    def targets(self) -> Float[np.ndarray, " target"]:
        """What each target hands down, in the order of the edge matrix's rows."""
        return np.concatenate([self.features, self.logits])


class Flow(NamedTuple):
    """Influence, and what the rows were divided by on the way."""

    influence: Influence
    sums: Float[np.ndarray, " target"]
    """Of each target's incoming |edges|."""

    @property
    def factors(self) -> Float[np.ndarray, " target"]:
        """What an |edge| of a target is multiplied by to give the influence that it carries."""
        return per_weight(self.influence.targets, self.sums)


def influence(graph: AttributionGraph) -> Influence:
    """The influence of every source on the logits, signs left aside."""
    return flow(graph.nodes, graph.edges).influence


def flow(nodes: Nodes, edges: Float[np.ndarray, "target source"]) -> Flow:
    """One pass from the logits down; beside the matrix it holds a block at a time."""
    n_features, n_errors = nodes.n_features, len(nodes.errors)
    handed = np.zeros(nodes.n_targets)
    handed[nodes.logit_rows] = [logit.weight for logit in nodes.logits]
    ends = np.zeros(nodes.n_sources - n_features)
    sums = np.zeros(nodes.n_targets)
    for rows, below in from_the_top(nodes):
        near, far = np.abs(edges[rows, below]), np.abs(edges[rows, n_features:])
        sums[rows] = near.sum(axis=1) + far.sum(axis=1)
        factors = per_weight(handed[rows], sums[rows])
        handed[below] += factors @ near
        ends += factors @ far
    found = Influence(
        handed[:n_features], ends[:n_errors], ends[n_errors:], handed[nodes.logit_rows]
    )
    return Flow(found, sums)


def per_weight(
    handed: Float[np.ndarray, " target"], sums: Float[np.ndarray, " target"]
) -> Float[np.ndarray, " target"]:
    """What is handed down, over the sum it is shared out by; float32, 0 for a row without edges."""
    found = np.zeros(len(handed))
    np.divide(handed, sums, out=found, where=sums > _NOTHING)
    return found.astype(np.float32)
