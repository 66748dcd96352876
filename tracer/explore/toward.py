"""The same graph asked about one output, or about the difference of two.

Influence starts at the logits, so what is asked decides what pruning keeps. A difference is a
logit like any other: its edges are those of the first less those of the second.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracer.graph.graph import AttributionGraph
from tracer.graph.nodes import Logit
from tracer.report.text import MINUS


def one_output(graph: AttributionGraph, number: int) -> AttributionGraph:
    """Only this logit; the others and their rows are left out."""
    return _explaining(graph, graph.nodes.logits[number], [number], [1.0])


def difference(graph: AttributionGraph, first: int, second: int) -> AttributionGraph:
    """Only logit(first) − logit(second)."""
    names = [graph.nodes.logits[n].label for n in (first, second)]
    logit = Logit(f"{names[0]} {MINUS} {names[1]}", None, 1.0)
    return _explaining(graph, logit, [first, second], [1.0, -1.0])


def _explaining(
    graph: AttributionGraph, logit: Logit, numbers: list[int], signs: list[float]
) -> AttributionGraph:
    nodes, weights = graph.nodes, np.array(signs, dtype=np.float32)
    rows = [nodes.n_features + number for number in numbers]

    def joined(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array[: nodes.n_features], (weights @ array[rows])[None]])

    return replace(
        graph,
        nodes=replace(nodes, logits=(logit,)),
        edges=joined(graph.edges),
        constants=joined(graph.constants),
        values=joined(graph.values),
    )
