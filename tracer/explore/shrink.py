"""From a stored graph to one that a browser can show: pruned, and never more than so many nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tracer.graph.graph import AttributionGraph
from tracer.graph.influence import influence
from tracer.graph.prune import prune

MOST_NODES = 2000
"""Features and errors shown at once."""


class Shrunk(NamedTuple):
    """What is left, and what was left out beyond the pruning that was asked for."""

    graph: AttributionGraph
    n_beyond: int
    """Features and errors that the share would have kept, but that are too many to show."""


def shrink(graph: AttributionGraph, share: float, most: int = MOST_NODES) -> Shrunk:
    """Keep the nodes that carry a share of all influence; of too many, the most influential.

    Args:
        graph: Left as it is; its own pruning is what the share counts from.
        share: Of all nodes' influence, 0 to 1; 1 keeps all that leads to an output.
        most: Features and errors at most.
    """
    pruned = prune(graph, share, 1.0)
    nodes = pruned.nodes
    n_found = nodes.n_features + len(nodes.errors)
    if n_found <= most:
        return Shrunk(pruned, 0)
    found = influence(pruned)
    kept = np.zeros(n_found, dtype=bool)
    both = np.concatenate([found.features, found.errors])
    kept[np.argsort(-both, kind="stable")[:most]] = True
    return Shrunk(_subset(pruned, kept), n_found - most)


def _subset(graph: AttributionGraph, kept: np.ndarray) -> AttributionGraph:
    nodes = graph.nodes
    features, errors = kept[: nodes.n_features], kept[nodes.n_features :]
    rows = np.concatenate([features, np.ones(len(nodes.logits), dtype=bool)])
    columns = np.concatenate([kept, np.ones(len(nodes.tokens), dtype=bool)])
    return replace(
        graph,
        nodes=nodes.keep(features, errors),
        edges=graph.edges[np.ix_(rows, columns)],
        constants=graph.constants[rows],
        values=graph.values[rows],
    )
