"""How much of the computation a graph, or a choice of its features, explains.

Replacement asks where paths back from the output end, in tokens or in errors; completeness asks how
much of each node's input is no error, and weighs it by influence (Ameisen et al. 2025).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import flow, per_weight, rows_of


class Scores(NamedTuple):
    """Both between 0 and 1; None where nothing flows that could be shared out."""

    replacement: float | None
    """Share of the influence arriving at tokens and errors that arrives at tokens."""
    completeness: float | None
    """Share of all nodes' input that comes from no error, by influence; a node without inputs,
    an error too, counts as complete."""


def scores(graph: AttributionGraph) -> Scores:
    """Both scores of the graph as it is, pruned or not."""
    found, sums = flow(graph.nodes, graph.edges)
    at_tokens, at_errors = float(found.tokens.sum()), float(found.errors.sum())
    from_errors = np.abs(graph.edges[:, graph.nodes.error_columns]).sum(axis=1)
    missing = float(from_errors @ per_weight(found.targets, sums))
    whole = float(found.sources.sum() + found.logits.sum())
    return Scores(_share(at_tokens, at_tokens + at_errors), _share(whole - missing, whole))


def supernode_scores(graph: AttributionGraph, kept: Bool[np.ndarray, " feature"]) -> Scores:
    """The scores if only these features were understood.

    What the others send is taken for error: their signed edges are added to those of the error at
    their layer and position, which is made where the graph has none; what they receive is gone.
    """
    nodes, n_features = graph.nodes, graph.nodes.n_features
    rows = np.concatenate([np.flatnonzero(kept), np.arange(n_features, nodes.n_targets)])
    homes = nodes.features[~kept, :2]
    errors = np.unique(np.concatenate([nodes.errors, homes]), axis=0)
    smaller = replace(nodes.keep(kept, np.ones(len(nodes.errors), dtype=bool)), errors=errors)
    edges = np.empty((len(rows), smaller.n_sources), dtype=np.float32)
    for part in rows_of(slice(0, len(rows)), nodes.n_sources):
        block = graph.edges[rows[part]]
        edges[part, : smaller.n_features] = block[:, :n_features][:, kept]
        sent = _by_home(block[:, :n_features][:, ~kept], homes, errors)
        sent[:, _find(nodes.errors, errors)] += block[:, nodes.error_columns]
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
    """The columns added up by (layer, position); features of one place lie side by side."""
    found = np.zeros((len(sent), len(errors)), dtype=np.float32)
    if len(homes):
        places, first = np.unique(_find(homes, errors), return_index=True)
        found[:, places] = np.add.reduceat(sent, first, axis=1)
    return found


def _find(
    wanted: Int[np.ndarray, "n 2"], errors: Int[np.ndarray, "error 2"]
) -> Int[np.ndarray, " n"]:
    """Where each (layer, position) is among the sorted errors; all are there."""
    place = {tuple(row): n for n, row in enumerate(errors.tolist())}
    return np.array([place[tuple(row)] for row in wanted.tolist()], dtype=np.int64)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
