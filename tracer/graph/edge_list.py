"""A graph whose edges are a list: what a page or a table of a large graph is made from.

The matrix of 20,000 nodes is 1.6 GB, and a page shows 5,000 edges of it. Sorted by target and by
source as in the file, everything a view asks for is one pass over the list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from tracer.graph.graph import AttributionGraph, Subject
from tracer.graph.nodes import Nodes


@dataclass(frozen=True)
class ListedGraph:
    """Nodes, and every edge that is not 0."""

    subject: Subject
    nodes: Nodes
    targets: Int[np.ndarray, " edge"]
    """Rows, ascending (see `tracer.graph.nodes`)."""
    sources: Int[np.ndarray, " edge"]
    """Columns."""
    weights: Float[np.ndarray, " edge"]


def listed(graph: AttributionGraph) -> ListedGraph:
    """The same graph, its edges as a list."""
    targets, sources = np.nonzero(graph.edges)
    return ListedGraph(graph.subject, graph.nodes, targets, sources, graph.edges[targets, sources])


def inputs(graph: ListedGraph) -> Float[np.ndarray, " target"]:
    """Σ |edge| into each target."""
    sizes = np.abs(graph.weights).astype(np.float64)
    return np.bincount(graph.targets, weights=sizes, minlength=graph.nodes.n_targets)


def influences(
    graph: ListedGraph, sums: Float[np.ndarray, " target"]
) -> tuple[Float[np.ndarray, " source"], Float[np.ndarray, " edge"]]:
    """Influence of each source, and what each edge carries of it; see `tracer.graph.influence`.

    Args:
        graph: Its features are sorted by layer, so every layer is one run of the list.
        sums: As `inputs` gives them.
    """
    nodes, n_features = graph.nodes, graph.nodes.n_features
    at_sources, carried = np.zeros(nodes.n_sources), np.zeros(len(graph.weights))
    weights = np.array([logit.weight for logit in nodes.logits], dtype=np.float64)
    for rows in _from_the_top(nodes):
        handed = weights if rows.start >= n_features else at_sources[rows]
        at = slice(*np.searchsorted(graph.targets, [rows.start, rows.stop]).tolist())
        factors = np.divide(handed, sums[rows], out=np.zeros(len(handed)), where=sums[rows] > 0)
        carried[at] = np.abs(graph.weights[at]) * factors[graph.targets[at] - rows.start]
        at_sources += np.bincount(graph.sources[at], weights=carried[at], minlength=nodes.n_sources)
    return at_sources, carried


def _from_the_top(nodes: Nodes) -> list[slice]:
    """Rows of the logits, then of each layer's features, the highest layer first."""
    layers = np.unique(nodes.features[:, 0])[::-1].tolist()
    return [nodes.logit_rows, *(nodes.layer_slice(layer) for layer in layers)]
