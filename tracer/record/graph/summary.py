"""The summary of a graph: its size, its scores and its most influential features.

Scores and influence are those of the whole graph; nodes and edges are those that pruning left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.record.graph.graph import AttributionGraph, heads_of_edge
from tracer.record.graph.heads import HeadShare
from tracer.record.graph.influence import Scores, influence, scores


class Strongest(NamedTuple):
    """The largest edge that leaves a node, by magnitude."""

    target: str
    """A feature's id, or a logit's label."""
    is_logit: bool
    weight: float
    heads: tuple[HeadShare, ...] = ()
    """What attention heads carry of it, where the graph tells; the strongest first."""


class InfluentialFeature(NamedTuple):
    """One of the most influential features, or a head, whose value is its activation."""

    id: str
    """`layer_index_position`; of a head, `layer_head_number_position`."""
    token: str
    """What stands at its position."""
    activation: float
    influence: float
    """0 to the sum of the logits' weights."""
    strongest: Strongest | None
    """None where no edge leaves it."""


@dataclass(frozen=True)
class Summary:
    """The counts, scores and strongest features of a graph."""

    n_kept: int
    """Features of the whole graph; heads are none."""
    n_attention: int
    """Of those that are left, how many are of attention dictionaries."""
    n_heads: int
    """Heads that are left."""
    n_nodes: int
    """Features, errors, tokens and logits left."""
    n_edges: int
    scores: Scores
    features: tuple[InfluentialFeature, ...]
    """Most influential first."""


def summarise(
    whole: AttributionGraph,
    pruned: AttributionGraph,
    influences: Float[np.ndarray, " source"],
    n: int = 10,
) -> Summary:
    """Sum up a graph and what pruning left of it.

    Args:
        whole: Before pruning.
        pruned: After it; the same graph where nothing was pruned.
        influences: As `kept_influence` gives them.
        n: How many features the summary lists.
    """
    nodes = pruned.nodes
    order = np.argsort(-influences[: nodes.n_features], kind="stable")[:n]
    return Summary(
        n_kept=whole.nodes.n_features - whole.nodes.n_heads,
        n_attention=len(nodes.attention) - nodes.n_heads,
        n_heads=nodes.n_heads,
        n_nodes=nodes.n_sources + len(nodes.logits),
        n_edges=int(np.count_nonzero(pruned.edges)),
        scores=scores(whole),
        features=tuple(_feature(pruned, row, float(influences[row])) for row in order.tolist()),
    )


def kept_influence(
    whole: AttributionGraph, pruned: AttributionGraph
) -> Float[np.ndarray, " source"]:
    """The whole graph's influence of each source that pruning left, in the pruned order."""
    return influence(whole).sources[whole.nodes.columns_of(pruned.nodes)]


def _feature(graph: AttributionGraph, row: int, influence: float) -> InfluentialFeature:
    return InfluentialFeature(
        id=graph.nodes.id_of_row(row),
        token=graph.subject.tokens[int(graph.nodes.features[row, 1])],
        activation=float(graph.nodes.activations[row]),
        influence=influence,
        strongest=_strongest(graph, row),
    )


def _strongest(graph: AttributionGraph, column: int) -> Strongest | None:
    edges = graph.edges[:, column]
    target = int(np.abs(edges).argmax())
    if edges[target] == 0:
        return None
    weight, n_features = float(edges[target]), graph.nodes.n_features
    heads = heads_of_edge(graph, target, column)
    if target >= n_features:
        return Strongest(graph.nodes.logits[target - n_features].label, True, weight, heads)
    return Strongest(graph.nodes.id_of_row(target), False, weight, heads)
