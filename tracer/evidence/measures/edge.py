"""Tests of the attribution graph: the expectation `edge`, and how well a graph predicts ablations.

`edge` is the direct effect of one supernode on another, as a share of all that enters the target.
The calibration compares each ablation's effect as the graph predicts it with the measured one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.evidence.case import Wording, untested
from tracer.evidence.statistics import Side
from tracer.evidence.wording import counted, exact, p_text, signed
from tracer.hypothesis.expectations.edge import Edge, EdgeTest
from tracer.record.record import Record
from tracer.record.testable import baseline_problem
from tracer.record.trials import Ablation, GraphEdge, GraphRecord
from tracer.record.verdict import PromptOutcome


def word_edge(expectation: Edge) -> Wording:
    """How it is written."""
    edge = expectation.edge
    bounds = ((">", edge.above), ("<", edge.below))
    tests = [f"{sign} {exact(bound)}" for sign, bound in bounds if bound is not None]
    if edge.alpha is not None:
        side = "above" if edge.beats_controls is not None else "below"
        tests.append(f"{side} controls, p ≤ {exact(edge.alpha)}")
    measure = f"edge {edge.from_} → {edge.to}, share of what enters {edge.to}"
    return Wording(measure, " and ".join(tests), signed, edge.alpha)


def judge_edge(record: Record, expectation: Edge, prompt: str) -> PromptOutcome:
    """Judge it on one prompt's graph."""
    graph = record.graphs.get(prompt)
    if graph is None:
        return untested(prompt, "its graph was not measured: the run is incomplete")
    problem = baseline_problem(record.prompts[prompt]) or _silent(graph, expectation.edge)
    if problem is not None:
        return untested(prompt, problem)
    edge, found = expectation.edge, _edge(graph, expectation.edge)
    share = found.share if found else None
    if found is None or share is None:
        return untested(prompt, f"nothing enters {edge.to} in the graph")
    above, below = edge.above, edge.below
    held = (above is None or share > above) and (below is None or share < below)
    p, least, compared = None, None, ""
    if edge.alpha is not None:
        least = 1 / (found.n_controls + 1)
        if found.control_median is None:
            reason = f"too few other features where those of {edge.from_} are"
            return untested(prompt, f"no controls: {reason}")
        if least > edge.alpha:
            told = f"{counted(found.n_controls, 'control')} can reach p {p_text(least)} at best"
            return untested(prompt, f"{told}, not {exact(edge.alpha)}")
        p = edge_p(found, "below" if edge.beats_controls is None else "above")
        held = held and p <= edge.alpha
        compared = f", p {p_text(p)} (controls {signed(found.control_median)})"
    return PromptOutcome(
        prompt=prompt,
        outcome="held" if held else "failed",
        observed=signed(share) + compared,
        value=share,
        p=p,
        least_p=least,
    )


def edge_p(edge: GraphEdge, side: Side) -> float:
    """How often a random set in place of the source does as much, Monte-Carlo."""
    as_far = edge.n_as_high if side == "above" else edge.n_as_low
    return (1 + as_far) / (edge.n_controls + 1)


def _silent(graph: GraphRecord, edge: EdgeTest) -> str | None:
    """Why a supernode is not in the graph; None where both are."""
    for name in (edge.from_, edge.to):
        if graph.members.get(name, 1) == 0:
            return f"no active feature: {name} is silent on this prompt"
        if name not in graph.members and name != "output":
            return f"{name} has no place on this prompt"
    return None


def _edge(graph: GraphRecord, edge: EdgeTest) -> GraphEdge | None:
    found = (e for e in graph.edges if (e.source, e.target) == (edge.from_, edge.to))
    return next(found, None)


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
        r=_pearson(x, y),
        slope=float(x @ y) / square if square > 0 else None,
        same_sign=int((np.sign(x) == np.sign(y)).sum()),
        worst=difference / largest if largest > 0 else 0.0,
    )


def _pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float | None:
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])
