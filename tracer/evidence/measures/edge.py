"""Tests of the attribution graph: the expectation `edge`, and how well a graph predicts ablations.

`edge` is the direct effect of one supernode on another, as a share of all that enters the target.
The calibration compares each ablation's effect as the graph predicts it with the measured one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tracer.evidence.case import Wording, untested
from tracer.evidence.measures.graph_share import (
    Share,
    bounds_words,
    graph_of,
    judge_share,
)
from tracer.evidence.measures.measure import GraphMeasure
from tracer.evidence.statistics import pearson
from tracer.evidence.wording import counted, signed
from tracer.hypothesis.expectations.edge import Edge, EdgeTest
from tracer.record.record import Record
from tracer.record.trials import Ablation, GraphEdge, GraphRecord
from tracer.record.verdict import PromptOutcome


def word(expectation: Edge) -> Wording:
    """How it is written."""
    edge = expectation.edge
    measure = f"edge {edge.from_} → {edge.to}, share of what enters {edge.to}"
    return Wording(measure, bounds_words(edge.bounds), signed, edge.bounds.alpha)


def judge(record: Record, expectation: Edge, prompt: str) -> PromptOutcome:
    """Judge it on one prompt's graph."""
    edge = expectation.edge
    graph = graph_of(record, prompt, (edge.from_, edge.to))
    if isinstance(graph, str):
        return untested(prompt, graph)
    found = _edge(graph, edge)
    if found is None or found.share is None:
        return untested(prompt, f"nothing enters {edge.to} in the graph")
    reason = f"too few other features where those of {edge.from_} are"
    share = Share(found.share, found, reason, counted(found.n_controls, "control"))
    return judge_share(prompt, share, edge.bounds)


def _edge(graph: GraphRecord, edge: EdgeTest) -> GraphEdge | None:
    found = (e for e in graph.edges if (e.source, e.target) == (edge.from_, edge.to))
    return next(found, None)


MEASURE = GraphMeasure(Edge, word, judge)


class Calibration(NamedTuple):
    """Agreement of predicted and measured changes; None where it is not defined."""

    n: int
    r: float | None
    """Pearson's correlation; from three ablations on, where both vary."""
    slope: float | None
    """Least squares through the origin, measured on predicted: 1 where the graph is right."""
    same_sign: int
    """Ablations whose change has the predicted sign."""
    worst: float
    """Largest difference, over the largest measured change."""


def direct(ablations: Sequence[Ablation]) -> Calibration:
    """Edges to the output against clamps with everything frozen: these must agree."""
    return _agreement(
        [each.predicted_direct for each in ablations], [each.measured_direct for each in ablations]
    )


def total(ablations: Sequence[Ablation], *, free: bool) -> Calibration:
    """All paths of the graph against clamps with attention frozen, or free to react."""
    measured = [each.measured_free if free else each.measured_attention for each in ablations]
    return _agreement([each.predicted_total for each in ablations], measured)


def _agreement(predicted: Sequence[float], measured: Sequence[float]) -> Calibration:
    x, y = np.array(predicted, dtype=float), np.array(measured, dtype=float)
    square = float(x @ x)
    largest = float(np.abs(y).max(initial=0.0))
    difference = float(np.abs(x - y).max(initial=0.0))
    return Calibration(
        n=len(x),
        r=pearson(x, y),
        slope=float(x @ y) / square if square > 0 else None,
        same_sign=int((np.sign(x) == np.sign(y)).sum()),
        worst=difference / largest if largest > 0 else 0.0,
    )
