"""Influence: how much of the output runs through each node, whatever the sign.

Each target's incoming |edges| are divided by their sum: the rows of A. Influence is what arrives at
a node when the logits' weights p flow back along these shares, over paths of every length (Ameisen
et al. 2025):

    influence = p (A + A² + A³ + …)

A target reads only sources of lower layers. So one pass over the edges, the highest layer first,
gives the whole sum: a layer's influence is complete once all layers above have passed theirs on.
The pass goes in blocks of rows small enough for the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.record.graph.graph import AttributionGraph, ListedGraph, Nodes

CELLS = 2**19
"""Cells of a block: 2 MB as float32."""
_NOTHING = 1e-30
"""A row of edges that sums to less has none; float32 could not hold its shares."""


class TargetBlock(NamedTuple):
    """Some targets of one layer, or some logits, and the features they may read.

    Errors and tokens (all columns from `nodes.n_features` on) go with every block.
    """

    rows: slice
    below: slice
    """Columns of the features of lower layers."""


def rows_of(rows: slice, n_columns: int) -> Iterator[slice]:
    """The rows in order, as many at a time as a block holds of that width."""
    step = max(1, CELLS // max(1, n_columns))
    for first in range(rows.start, rows.stop, step):
        yield slice(first, min(first + step, rows.stop))


def from_the_top(nodes: Nodes) -> Iterator[TargetBlock]:
    """All targets: the logits first, then the features, the highest layer first."""
    for rows in rows_of(nodes.logit_rows, nodes.n_sources):
        yield TargetBlock(rows, slice(0, nodes.n_features))
    for layer in np.unique(nodes.features[:, 0])[::-1]:
        at = nodes.layer_slice(int(layer))
        n_far = nodes.n_sources - nodes.n_features
        for rows in rows_of(at, at.start + n_far):
            yield TargetBlock(rows, slice(0, at.start))


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
    """Influence in one pass from the logits down, which holds one block beside the matrix."""
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


def inputs(graph: ListedGraph) -> Float[np.ndarray, " target"]:
    """Σ |edge| into each target."""
    sizes = np.abs(graph.weights).astype(np.float64)
    return np.bincount(graph.targets, weights=sizes, minlength=graph.nodes.n_targets)


def listed_influence(
    graph: ListedGraph, sums: Float[np.ndarray, " target"]
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " edge"]]:
    """Influence of each source, and what each edge carries of it; `sums` are as `inputs` gives."""
    nodes, n_features = graph.nodes, graph.nodes.n_features
    at_sources, carried = np.zeros(nodes.n_sources), np.zeros(len(graph.weights))
    weights = np.array([logit.weight for logit in nodes.logits], dtype=np.float64)
    layers = np.unique(nodes.features[:, 0])[::-1].tolist()
    for rows in [nodes.logit_rows, *map(nodes.layer_slice, layers)]:
        handed = weights if rows.start >= n_features else at_sources[rows]
        at = slice(*np.searchsorted(graph.targets, [rows.start, rows.stop]).tolist())
        factors = np.divide(handed, sums[rows], out=np.zeros(len(handed)), where=sums[rows] > 0)
        carried[at] = np.abs(graph.weights[at]) * factors[graph.targets[at] - rows.start]
        at_sources += np.bincount(graph.sources[at], weights=carried[at], minlength=nodes.n_sources)
    return at_sources, carried
