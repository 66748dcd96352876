"""How every kind of expectation is judged: a new measure is a file here, and named here."""

from __future__ import annotations

from typing import Any

from tracer.evidence.measures import (
    attends,
    because,
    carried,
    dose,
    edge,
    effect,
    fraction,
    python,
    text,
    top,
)
from tracer.evidence.measures.measure import GraphMeasure, MeasureEvidence
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.base import Expectation, GraphExpectation

MEASURES: tuple[MeasureEvidence[Any], ...] = (
    top.MEASURE,
    effect.MEASURE,
    fraction.MEASURE,
    attends.MEASURE,
    text.MEASURE,
    python.MEASURE,
    dose.MEASURE,
)
GRAPH_MEASURES: tuple[GraphMeasure[Any], ...] = (
    edge.MEASURE,
    carried.MEASURE,
    because.MEASURE,
    attends.UNCLAMPED,
)
"""Of attribution graphs."""
_BY_KIND: dict[type[Expectation], MeasureEvidence[Any]] = {
    kind: measure for measure in MEASURES for kind in measure.kinds
}


def measure_of(expectation: Expectation) -> MeasureEvidence[Any]:
    """The measure that an expectation is about."""
    return _BY_KIND[type(expectation)]


def graph_measure_of(expectation: GraphExpectation) -> GraphMeasure[Any]:
    """The measure that an expectation of a graph is about."""
    return next(each for each in GRAPH_MEASURES if each.kind is type(expectation))


def all_expectations(spec: InterventionSpec) -> tuple[Expectation, ...]:
    """An intervention's expectations in the file's order, those of its doses last."""
    return (*spec.expect, *(spec.doses.expect if spec.doses else ()))
