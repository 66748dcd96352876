"""The same graph asked about one output, or about the difference of two.

Influence starts at the logits, so what is asked decides which nodes matter. A difference is a logit
like any other: its edges are those of the first less those of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tracer.graph.edge_list import ListedGraph
from tracer.graph.nodes import Logit
from tracer.report.text import MINUS


class Asked(NamedTuple):
    """Which of a graph's logits are asked about: all, one, or one less another."""

    logit: int | None = None
    less: int | None = None


def choices(logits: Sequence[Logit]) -> tuple[Asked, ...]:
    """All together, each alone, and the first less each of the others."""
    if len(logits) < 2:
        return (Asked(),)
    alone = (Asked(number) for number in range(len(logits)))
    return (Asked(), *alone, *(Asked(0, number) for number in range(1, len(logits))))


def toward(graph: ListedGraph, asked: Asked) -> ListedGraph:
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
