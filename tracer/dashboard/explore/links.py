"""The links of a node as signed shares, and the graph of one output or of a difference of two.

A share is an edge over the sum of |edges| that enter the same target. The edges of a difference are
those of the first logit less those of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.dashboard.explore.index import GraphIndex
from tracer.evidence.wording import MINUS
from tracer.record.graph.graph import AttributionGraph, ListedGraph, Logit
from tracer.record.graph.influence import rows_of

MOST = 40
"""Links told of on each side."""


class Link(NamedTuple):
    """The edge between a node and another."""

    id: str
    """Of the other one."""
    weight: float
    share: float
    """−1 to 1."""


class Connections(NamedTuple):
    """The strongest links of a node by |share|, and how many there are in all."""

    inputs: tuple[Link, ...]
    n_inputs: int
    outputs: tuple[Link, ...]
    n_outputs: int


def entering(graph: AttributionGraph) -> Float[np.ndarray, " target"]:
    """The sum of |edges| that enter each target."""
    sums = np.zeros(graph.nodes.n_targets)
    for rows in rows_of(slice(0, graph.nodes.n_targets), graph.nodes.n_sources):
        sums[rows] = np.abs(graph.edges[rows]).sum(axis=1)
    return sums


def connections(
    index: GraphIndex, sums: Float[np.ndarray, " target"], name: str, most: int = MOST
) -> Connections:
    """The links of a node, at most `most` on each side; `sums` are those of `entering`."""
    graph, row, column = index.graph, index.row(name), index.column(name)
    inputs = np.zeros(0) if row is None else graph.edges[row]
    outputs = np.zeros(0) if column is None else graph.edges[:, column]
    mine = np.zeros(len(inputs)) if row is None else np.full(len(inputs), sums[row])
    theirs = sums if column is not None else np.zeros(0)
    received, sent = _strongest(inputs, mine, most), _strongest(outputs, theirs, most)
    return Connections(
        tuple(Link(index.ids[n], *link) for n, link in received),
        int(np.count_nonzero(inputs)),
        tuple(Link(index.of_row(n), *link) for n, link in sent),
        int(np.count_nonzero(outputs)),
    )


def _strongest(
    edges: Float[np.ndarray, " n"], sums: Float[np.ndarray, " n"], most: int
) -> list[tuple[int, tuple[float, float]]]:
    """Number, weight and share of the largest, those of one size in the graph's order."""
    there: Int[np.ndarray, " m"] = np.flatnonzero(edges)
    shares = edges[there] / sums[there]
    order = np.argsort(-np.abs(shares), kind="stable")[:most]
    return [(int(there[n]), (float(edges[there[n]]), float(shares[n]))) for n in order]


class AskedLogits(NamedTuple):
    """Which of a graph's logits are asked about: all, one, or one less another."""

    logit: int | None = None
    less: int | None = None


def choices(logits: Sequence[Logit]) -> tuple[AskedLogits, ...]:
    """All together, each alone, and the first less each of the others."""
    if len(logits) < 2:
        return (AskedLogits(),)
    alone = (AskedLogits(number) for number in range(len(logits)))
    return (AskedLogits(), *alone, *(AskedLogits(0, number) for number in range(1, len(logits))))


def toward(graph: ListedGraph, asked: AskedLogits) -> ListedGraph:
    """The graph with what is asked for its only logit; all of it where nothing is."""
    logits = graph.nodes.logits
    if asked.logit is None:
        return graph
    if asked.less is None:
        return _explaining(graph, logits[asked.logit], {asked.logit: 1.0})
    names = [logits[number].label for number in (asked.logit, asked.less)]
    logit = Logit(f"{names[0]} {MINUS} {names[1]}", None, 1.0)
    return _explaining(graph, logit, {asked.logit: 1.0, asked.less: -1.0})


def _explaining(graph: ListedGraph, logit: Logit, signs: dict[int, float]) -> ListedGraph:
    nodes = graph.nodes
    below = graph.targets < nodes.n_features
    row = np.zeros(nodes.n_sources, dtype=np.float32)
    for number, sign in signs.items():
        mine = graph.targets == nodes.n_features + number
        row[graph.sources[mine]] += np.float32(sign) * graph.weights[mine]
    sources = np.flatnonzero(row)
    return replace(
        graph,
        nodes=replace(nodes, logits=(logit,)),
        targets=np.concatenate([graph.targets[below], np.full(len(sources), nodes.n_features)]),
        sources=np.concatenate([graph.sources[below], sources]),
        weights=np.concatenate([graph.weights[below], row[sources]]),
    )
