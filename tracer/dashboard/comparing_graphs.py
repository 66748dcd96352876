"""Two graphs of one prompt edge by edge: which both have, and whether their weights agree.

Nodes are matched by what they are: a feature by layer, position and index, an error by layer and
position, a token by position, an output by its label. It is for the caller to know that an index
means the same feature in both.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.dashboard.comparing import Cells
from tracer.dashboard.run_rows import CELL, shown
from tracer.graph.edge_list import ListedGraph
from tracer.report.text import show_token

MOST_EDGES = 200


class EdgeSides(NamedTuple):
    """How the edges of two graphs meet."""

    only_a: int
    both: int
    only_b: int
    share_a: float
    """Of Σ |weight| in A, what edges of both carry, 0 to 1."""
    share_b: float
    correlation: float | None
    """Pearson's, of the weights of edges in both; None where fewer than three, or all alike."""


class Edges(NamedTuple):
    """The edges of either graph, matched; a weight is 0 where there is none."""

    codes: Int[np.ndarray, " edge"]
    """target × number of names + source."""
    a: Float[np.ndarray, " edge"]
    b: Float[np.ndarray, " edge"]
    names: tuple[str, ...]
    """Of all nodes, for people."""


def matched(a: ListedGraph, b: ListedGraph) -> Edges:
    """Every edge of either graph, with both weights."""
    numbers: dict[Hashable, int] = {}
    names: list[str] = []
    for graph in (a, b):
        for key, name in (*_sources(graph), *_outputs(graph)):
            if key not in numbers:
                numbers[key] = len(names)
                names.append(name)
    n = len(names)
    coded = [_codes(graph, numbers, n) for graph in (a, b)]
    codes = np.unique(np.concatenate(coded))
    weights = [_weights(codes, mine, graph) for mine, graph in zip(coded, (a, b), strict=True)]
    return Edges(codes, weights[0], weights[1], tuple(names))


def edge_sides(edges: Edges) -> EdgeSides:
    """The edges counted, and their weights held against each other."""
    in_a, in_b = edges.a != 0, edges.b != 0
    both = in_a & in_b
    return EdgeSides(
        only_a=int((in_a & ~in_b).sum()),
        both=int(both.sum()),
        only_b=int((in_b & ~in_a).sum()),
        share_a=_carried(edges.a, both),
        share_b=_carried(edges.b, both),
        correlation=_correlation(edges.a[both], edges.b[both]),
    )


def edge_rows(edges: Edges, most: int = MOST_EDGES) -> list[Cells]:
    """The edges whose weights differ most, the largest difference first."""
    apart = np.abs(edges.b - edges.a)
    order = np.argsort(-apart, kind="stable")[:most]
    n = len(edges.names)
    return [
        {
            "from": edges.names[code % n],
            "to": edges.names[code // n],
            "A": a if a else None,
            "B": b if b else None,
            "B − A": b - a,
        }
        for code, a, b in zip(
            edges.codes[order].tolist(),
            edges.a[order].tolist(),
            edges.b[order].tolist(),
            strict=True,
        )
        if a != b
    ]


def _sources(graph: ListedGraph) -> Iterator[tuple[Hashable, str]]:
    """What each column is, and its name."""
    nodes, tokens = graph.nodes, [_word(each) for each in graph.subject.tokens]
    for layer, pos, index in nodes.features.tolist():
        yield ("feature", layer, pos, index), f"L{layer} feature {index} on {tokens[pos]}"
    for layer, pos in nodes.errors.tolist():
        yield ("error", layer, pos), f"L{layer} error on {tokens[pos]}"
    for pos in nodes.tokens.tolist():
        yield ("token", pos), f"token {tokens[pos]}"


def _outputs(graph: ListedGraph) -> Iterator[tuple[Hashable, str]]:
    """What each row after the features is; of two with one label, the first is the first."""
    labels = [logit.label for logit in graph.nodes.logits]
    for n, label in enumerate(labels):
        yield ("output", label, labels[:n].count(label)), f"output {_word(label)}"


def _word(token: str) -> str:
    return shown(show_token(token), CELL)


def _codes(graph: ListedGraph, numbers: dict[Hashable, int], n: int) -> Int[np.ndarray, " edge"]:
    columns = np.array([numbers[key] for key, _ in _sources(graph)], dtype=np.int64)
    outputs = np.array([numbers[key] for key, _ in _outputs(graph)], dtype=np.int64)
    rows = np.concatenate([columns[: graph.nodes.n_features], outputs])
    return rows[graph.targets] * n + columns[graph.sources]


def _weights(
    codes: Int[np.ndarray, " edge"], mine: Int[np.ndarray, " own"], graph: ListedGraph
) -> Float[np.ndarray, " edge"]:
    """One graph's weights, in the order of all codes."""
    found = np.zeros(len(codes))
    found[np.searchsorted(codes, mine)] = graph.weights
    return found


def _carried(weights: Float[np.ndarray, " edge"], kept: np.ndarray) -> float:
    total = float(np.abs(weights).sum())
    return float(np.abs(weights[kept]).sum()) / total if total > 0 else 0.0


def _correlation(a: Float[np.ndarray, " edge"], b: Float[np.ndarray, " edge"]) -> float | None:
    if len(a) < 3 or not a.std() or not b.std():
        return None
    return float(np.corrcoef(a, b)[0, 1])
