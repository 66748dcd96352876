"""The part of a graph that a page shows, as a matrix: what links, groups and scores are read from.

A stored graph may have 20,000 nodes, whose matrix nobody wants in a page; the view keeps the most
influential, and what is computed is computed of those.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tracer.explore.index import source_names
from tracer.graph.edge_list import ListedGraph
from tracer.graph.graph import AttributionGraph


def part_of(graph: ListedGraph, ids: Collection[str]) -> AttributionGraph:
    """Only the features and errors with these ids; tokens and logits stay.

    Constants and values are left at 0: a part has no sums to close.
    """
    nodes, wanted = graph.nodes, set(ids)
    kept = np.array([name in wanted for name in source_names(nodes, graph.subject)], dtype=bool)
    kept[nodes.token_columns] = True
    smaller = nodes.keep(kept[: nodes.n_features], kept[nodes.error_columns])
    columns = np.cumsum(kept) - 1
    stays = np.concatenate([kept[: nodes.n_features], np.ones(len(nodes.logits), dtype=bool)])
    rows = np.cumsum(stays) - 1
    between = kept[graph.sources] & stays[graph.targets]
    edges = np.zeros((smaller.n_targets, smaller.n_sources), dtype=np.float32)
    edges[rows[graph.targets[between]], columns[graph.sources[between]]] = graph.weights[between]
    none = np.zeros(smaller.n_targets, dtype=np.float32)
    return AttributionGraph(graph.subject, smaller, edges, none, none)
