"""Pruning: the fewest nodes, then the fewest edges, that carry a share of the influence.

First the nodes: the most influential ones, until their influence reaches the share of all nodes'
together. Then, influence computed anew without the others, the edges, by the influence that each
carries. Last, the nodes that lost their connections: features and errors that reach nothing,
features that nothing reaches. Tokens and logits always stay.

`cut` finds the least score to keep without sorting. A float32 that is not negative orders like its
bits read as an integer. So one pass sums the scores by their upper 16 bits, which gives the upper
half of the cut; a second pass over the scores with that half counts the lower 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from tracer.errors import UsageError
from tracer.record.graph.graph import AttributionGraph, Nodes, Pruning
from tracer.record.graph.influence import flow, from_the_top, influence, rows_of

Blocks = Callable[[], Iterable[np.ndarray]]
"""Gives all scores anew each time: float32, one axis, above 0 and finite."""

_LOW = 16
_N_HIGH = 1 << (31 - _LOW)
_N_LOW = 1 << _LOW
_SMALLEST = np.finfo(np.float64).tiny


def cut(blocks: Blocks, share: float) -> float:
    """The score at which the sum, from the largest down, first reaches the share of the whole.

    Scores equal to it are to be kept. A share of 1 gives 0, whatever the rounding; no scores give
    infinity.
    """
    if share == 1:
        return 0.0
    sums = _sums(blocks)
    reached = np.cumsum(sums[::-1])
    wanted = max(share * reached[-1], _SMALLEST)
    if reached[-1] < wanted:
        return float("inf")
    place = int(np.searchsorted(reached, wanted))
    before = reached[place - 1] if place else 0.0
    return _within(_N_HIGH - 1 - place, wanted - before, blocks)


def _sums(blocks: Blocks) -> Float[np.ndarray, " high"]:
    sums = np.zeros(_N_HIGH)
    for scores in blocks():
        sums += np.bincount(scores.view(np.uint32) >> _LOW, weights=scores, minlength=_N_HIGH)
    return sums


def _within(high: int, wanted: float, blocks: Blocks) -> float:
    """The cut among the scores with these upper bits, of which this sum is still to be kept."""
    counts = _counts(high, blocks)
    bits = (np.arange(_N_LOW) + (high << _LOW)).astype(np.uint32)
    present = np.flatnonzero(counts)[::-1]
    values = bits[present].view(np.float32)
    reached = np.cumsum(counts[present] * values.astype(np.float64))
    # The two passes round differently, so this sum may end just below that of the first.
    place = min(int(np.searchsorted(reached, wanted)), len(values) - 1)
    return float(values[place])


def _counts(high: int, blocks: Blocks) -> Int[np.ndarray, " low"]:
    counts = np.zeros(_N_LOW, dtype=np.int64)
    for scores in blocks():
        bits = scores.view(np.uint32)
        low = bits[bits >> _LOW == high] & (_N_LOW - 1)
        counts += np.bincount(low, minlength=_N_LOW)
    return counts


class _Degrees(NamedTuple):
    """How many edges are left at each node."""

    incoming: Int[np.ndarray, " target"]
    outgoing: Int[np.ndarray, " source"]


def prune(graph: AttributionGraph, nodes: float = 0.8, edges: float = 0.98) -> AttributionGraph:
    """A smaller graph that carries most of the influence; the given one is left as it is.

    Args:
        graph: Cut already or not.
        nodes: Share of all nodes' influence that the kept nodes reach. 1 keeps every node from
            which a path leads to a logit.
        edges: Share of all edges' scores that the kept edges reach. 1 keeps every edge that is
            not 0.

    Raises:
        UsageError: A share is not between 0 and 1.
    """
    _check_share("nodes", nodes)
    _check_share("edges", edges)
    kept = _cut_nodes(graph, nodes)
    degrees = _cut_edges(kept.nodes, kept.edges, edges)
    features = _joined(kept, degrees)
    errors = degrees.outgoing[kept.nodes.error_columns] > 0
    left = _left(kept, features, errors)
    return _with_what_is_told(graph, replace(left, pruning=Pruning(nodes, edges)))


def _with_what_is_told(graph: AttributionGraph, left: AttributionGraph) -> AttributionGraph:
    """With what the whole graph tells of the nodes and the edges that are left."""
    if graph.heads is None and graph.agreement is None:
        return left
    rows, columns = graph.nodes.rows_of(left.nodes), graph.nodes.columns_of(left.nodes)
    targets, sources = np.nonzero(left.edges)
    before, n = np.nonzero(graph.edges), graph.nodes.n_sources
    wanted = rows[targets] * n + columns[sources]
    edges = np.searchsorted(before[0] * n + before[1], wanted)
    nodes = np.concatenate([columns, np.arange(n, n + len(left.nodes.logits))])
    return replace(
        left,
        heads=graph.heads and graph.heads.of(edges),
        agreement=graph.agreement and graph.agreement.of(nodes, edges),
    )


def _check_share(what: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise UsageError(
            f"pruning: the share of {what} to keep must be between 0 and 1, not {share!r}."
        )


def _cut_nodes(graph: AttributionGraph, share: float) -> AttributionGraph:
    """Without the least influential features and errors; its edges are a copy."""
    found = influence(graph)
    scores = found.sources.astype(np.float32)
    least = cut(lambda: [scores[scores > 0]], share)
    stays = (scores >= least) & (scores > 0)
    features, errors = stays[: graph.nodes.n_features], stays[graph.nodes.error_columns]
    rows, columns = _places(graph.nodes, features, errors)
    edges = np.empty((len(rows), len(columns)), dtype=np.float32)
    for part in rows_of(slice(0, len(rows)), graph.nodes.n_sources):
        edges[part] = graph.edges[rows[part]][:, columns]
    return _subset(graph, features, errors, edges)


def _cut_edges(nodes: Nodes, edges: Float[np.ndarray, "target source"], share: float) -> _Degrees:
    """Set the edges that carry least to 0, in place; count those left."""
    factors = flow(nodes, edges).factors

    def above_zero() -> Iterator[np.ndarray]:
        for _, _, scores in _edge_scores(nodes, edges, factors):
            yield scores[scores > 0]

    least = cut(above_zero, share)
    left = _Degrees(np.zeros(nodes.n_targets, np.int64), np.zeros(nodes.n_sources, np.int64))
    for rows, columns, scores in _edge_scores(nodes, edges, factors):
        block = edges[rows, columns]
        np.copyto(block, 0, where=scores < least)
        there = block != 0
        left.incoming[rows] += there.sum(axis=1)
        left.outgoing[columns] += there.sum(axis=0)
    return left


def _edge_scores(
    nodes: Nodes,
    edges: Float[np.ndarray, "target source"],
    factors: Float[np.ndarray, " target"],
) -> Iterator[tuple[slice, slice, Float[np.ndarray, "row column"]]]:
    """The influence that each edge carries, block by block: rows, columns, scores."""
    far = slice(nodes.n_features, nodes.n_sources)
    for rows, below in from_the_top(nodes):
        for columns in (below, far):
            yield rows, columns, np.abs(edges[rows, columns]) * factors[rows, None]


def _joined(graph: AttributionGraph, left: _Degrees) -> Bool[np.ndarray, " feature"]:
    """Features that still send and receive; the counts are updated in place.

    Removing a feature removes its edges, after which others may have none left.
    """
    edges, n_features = graph.edges, graph.nodes.n_features
    stays = np.ones(n_features, dtype=bool)
    while True:
        loose = stays & ((left.incoming[:n_features] == 0) | (left.outgoing[:n_features] == 0))
        if not loose.any():
            return stays
        stays &= ~loose
        gone = np.flatnonzero(loose)
        for part in rows_of(slice(0, len(gone)), edges.shape[1]):
            left.outgoing[:] -= (edges[gone[part]] != 0).sum(axis=0)
        for rows in rows_of(slice(0, len(edges)), len(gone)):
            left.incoming[rows] -= (edges[rows][:, gone] != 0).sum(axis=1)


def _left(
    graph: AttributionGraph,
    features: Bool[np.ndarray, " feature"],
    errors: Bool[np.ndarray, " error"],
) -> AttributionGraph:
    """The graph without the other nodes, its matrix moved together where it lies."""
    rows, columns = _places(graph.nodes, features, errors)
    flat, width = graph.edges.reshape(-1), len(columns)
    # No row is written over before it is read: the narrower rows end before the wider ones begin.
    for place, row in enumerate(rows):
        flat[place * width : (place + 1) * width] = graph.edges[row, columns]
    edges = flat[: len(rows) * width].reshape(len(rows), width)
    return _subset(graph, features, errors, edges)


def _places(
    nodes: Nodes, features: Bool[np.ndarray, " feature"], errors: Bool[np.ndarray, " error"]
) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " column"]]:
    """Rows and columns of the nodes that stay."""
    logits = np.ones(len(nodes.logits), dtype=bool)
    tokens = np.ones(len(nodes.tokens), dtype=bool)
    rows = np.flatnonzero(np.concatenate([features, logits]))
    return rows, np.flatnonzero(np.concatenate([features, errors, tokens]))


def _subset(
    graph: AttributionGraph,
    features: Bool[np.ndarray, " feature"],
    errors: Bool[np.ndarray, " error"],
    edges: Float[np.ndarray, "row column"],
) -> AttributionGraph:
    rows, _ = _places(graph.nodes, features, errors)
    return replace(
        graph,
        nodes=graph.nodes.keep(features, errors),
        edges=edges,
        constants=graph.constants[rows],
        values=graph.values[rows],
    )
