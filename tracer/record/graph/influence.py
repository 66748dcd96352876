"""What an attribution graph says: influence, scores, effects of ablations.

Influence is how much of the output runs through each node, signs left out. With A the |edges|, each
target's divided by their sum, and p the logits' weights, it is the sum over paths of every length
(Ameisen et al. 2025):

    influence = p (A + A² + A³ + …)

A target reads only sources of lower layers, so one pass over the edges, from the highest layer
down, gives the whole sum. It goes in blocks of rows small enough for the processor's cache.

The replacement score is the share of influence that ends in tokens and not in errors; completeness
is the share of each node's input that is no error, weighted by the node's influence.

Ablating features takes their edges away. The direct effect on a target is minus the sum of its
edges from them; the total effect is carried on through every feature of the graph, each moving in
proportion to its input:

    Δ target = Σ_s edge(target, s) · δ_s,    δ_s = Δ a_s / a_s

with δ = −1 for the ablated and, going up the layers, Δ a_s the same sum for all others. Errors and
tokens do not move. This is the graph's prediction; clamping measures how true it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tracer.record.graph.graph import AttributionGraph, ListedGraph, Nodes, Scores
from tracer.record.graph.places import find

CELLS = 2**19
"""Cells of a block: 2 MB as float32."""
_NOTHING = 1e-30
"""A row of edges that sums to less has none; float32 could not hold its shares."""


class TargetBlock(NamedTuple):
    """Some targets of one depth, or some logits, and the features they may read.

    Errors and tokens (all columns from `nodes.n_features` on) go with every block.
    """

    rows: slice
    below: slice
    """Columns of the features of lower depths."""


def rows_of(rows: slice, n_columns: int) -> Iterator[slice]:
    """The rows in order, as many at a time as a block holds of that width."""
    step = max(1, CELLS // max(1, n_columns))
    for first in range(rows.start, rows.stop, step):
        yield slice(first, min(first + step, rows.stop))


def from_the_top(nodes: Nodes) -> Iterator[TargetBlock]:
    """All targets: the logits first, then the features, the highest first."""
    for rows in rows_of(nodes.logit_rows, nodes.n_sources):
        yield TargetBlock(rows, slice(0, nodes.n_features))
    for at in reversed(nodes.stages()):
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
    for rows in [nodes.logit_rows, *reversed(nodes.stages())]:
        handed = weights if rows.start >= n_features else at_sources[rows]
        at = slice(*np.searchsorted(graph.targets, [rows.start, rows.stop]).tolist())
        factors = np.divide(handed, sums[rows], out=np.zeros(len(handed)), where=sums[rows] > 0)
        carried[at] = np.abs(graph.weights[at]) * factors[graph.targets[at] - rows.start]
        at_sources += np.bincount(graph.sources[at], weights=carried[at], minlength=nodes.n_sources)
    return at_sources, carried


def scores(graph: AttributionGraph) -> Scores:
    """Both scores of the graph as it is, pruned or not."""
    found, sums = flow(graph.nodes, graph.edges)
    at_tokens, at_errors = float(found.tokens.sum()), float(found.errors.sum())
    from_errors = np.abs(graph.edges[:, graph.nodes.error_columns]).sum(axis=1)
    missing = float(from_errors @ per_weight(found.targets, sums))
    whole = float(found.sources.sum() + found.logits.sum())
    return Scores(
        _share(at_tokens, at_tokens + at_errors), _share(max(whole - missing, 0.0), whole)
    )


def supernode_scores(graph: AttributionGraph, kept: Bool[np.ndarray, " feature"]) -> Scores:
    """The scores if only these features were understood.

    What the others send is taken for error: their signed edges are added to those of the error at
    their layer and position, which is made where the graph has none; what they receive is gone.
    """
    nodes, n_features = graph.nodes, graph.nodes.n_features
    rows = np.concatenate([np.flatnonzero(kept), np.arange(n_features, nodes.n_targets)])
    homes = nodes.homes[~kept]
    errors = np.unique(np.concatenate([nodes.error_homes, homes]), axis=0)
    depths = errors[:, :1]
    smaller = replace(
        nodes.keep(kept, np.ones(len(nodes.errors), dtype=bool)),
        errors=np.concatenate([depths // 2, errors[:, 1:]], axis=1),
        attention_errors=np.flatnonzero(depths % 2 == 0),
    )
    edges = np.empty((len(rows), smaller.n_sources), dtype=np.float32)
    for part in rows_of(slice(0, len(rows)), nodes.n_sources):
        block = graph.edges[rows[part]]
        edges[part, : smaller.n_features] = block[:, :n_features][:, kept]
        sent = _by_home(block[:, :n_features][:, ~kept], homes, errors)
        sent[:, find(errors, nodes.error_homes)] += block[:, nodes.error_columns]
        edges[part, smaller.error_columns] = sent
        edges[part, smaller.token_columns] = block[:, nodes.token_columns]
    return scores(
        replace(
            graph,
            nodes=smaller,
            edges=edges,
            constants=graph.constants[rows],
            values=graph.values[rows],
        )
    )


def _by_home(
    sent: Float[np.ndarray, "row other"],
    homes: Int[np.ndarray, "other 2"],
    errors: Int[np.ndarray, "error 2"],
) -> Float[np.ndarray, "row error"]:
    """The columns added up by (depth, position); features of one place lie side by side."""
    found = np.zeros((len(sent), len(errors)), dtype=np.float32)
    if len(homes):
        places, first = np.unique(find(errors, homes), return_index=True)
        found[:, places] = np.add.reduceat(sent, first, axis=1)
    return found


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


class EdgeSum(NamedTuple):
    """All edges from one group to another."""

    weight: float
    """Their sum."""
    share: float | None
    """Of everything that enters the target group, signs left out; None where nothing does."""


class Entering(NamedTuple):
    """All edges into a group of targets, added up."""

    by_source: Float[np.ndarray, " source"]
    size: float
    """Signs left out."""

    def of(self, sources: Int[np.ndarray, " n"]) -> EdgeSum:
        """Those from some sources (columns)."""
        weight = float(self.by_source[sources].sum())
        return EdgeSum(weight, _share(weight, self.size))


def entering(graph: AttributionGraph, targets: Int[np.ndarray, " m"]) -> Entering:
    """What enters some targets (rows)."""
    rows = graph.edges[targets]
    size = float(np.abs(rows).sum(dtype=np.float64))
    return Entering(rows.sum(0, dtype=np.float64), size)


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
    for mine in graph.nodes.stages():
        entering = graph.edges[mine, : mine.start] @ moved[: mine.start]
        relative = entering / graph.nodes.activations[mine, None]
        moved[mine] = np.where(ablated[mine], -1, relative)
    return Predicted(direct.astype(np.float64), (row @ moved).astype(np.float64))
