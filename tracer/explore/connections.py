"""What a node receives from others and sends to them, as signed shares.

A share is the edge over the sum of |edges| that enter the target: of the node itself for what it
receives, of the other one for what it sends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.explore.index import Index
from tracer.graph.blocks import rows_of
from tracer.graph.graph import AttributionGraph

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
    index: Index, sums: Float[np.ndarray, " target"], name: str, most: int = MOST
) -> Connections:
    """The links of a node.

    Args:
        index: Of the graph.
        sums: As `entering` gives them.
        name: The node.
        most: So many are told of on each side.
    """
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
