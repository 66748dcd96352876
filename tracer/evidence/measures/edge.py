"""Tests of the attribution graph: `edge`, the direct effect of one supernode on another."""

from __future__ import annotations

from tracer.evidence.case import Wording, baseline_problem, untested
from tracer.evidence.wording import exact, signed
from tracer.hypothesis.expectations.edge import Edge, EdgeTest
from tracer.record.record import Record
from tracer.record.studies import GraphRecord
from tracer.record.verdict import PromptOutcome


def word_edge(expectation: Edge) -> Wording:
    """How it is written."""
    edge = expectation.edge
    bounds = ((">", edge.above), ("<", edge.below))
    tests = [f"{sign} {exact(bound)}" for sign, bound in bounds if bound is not None]
    measure = f"edge {edge.from_} → {edge.to}, share of what enters {edge.to}"
    return Wording(measure, " and ".join(tests), signed)


def judge_edge(record: Record, expectation: Edge, prompt: str) -> PromptOutcome:
    """Judge it on one prompt's graph."""
    graph = record.graphs.get(prompt)
    if graph is None:
        return untested(prompt, "its graph was not measured: the run is incomplete")
    problem = baseline_problem(record.prompts[prompt]) or _silent(graph, expectation.edge)
    if problem is not None:
        return untested(prompt, problem)
    share = _share(graph, expectation.edge)
    if share is None:
        return untested(prompt, f"nothing enters {expectation.edge.to} in the graph")
    above, below = expectation.edge.above, expectation.edge.below
    held = (above is None or share > above) and (below is None or share < below)
    return PromptOutcome(
        prompt=prompt,
        outcome="held" if held else "failed",
        observed=signed(share),
        value=share,
    )


def _silent(graph: GraphRecord, edge: EdgeTest) -> str | None:
    """Why a supernode is not in the graph; None where both are."""
    for name in (edge.from_, edge.to):
        if graph.members.get(name, 1) == 0:
            return f"no active feature: {name} is silent on this prompt"
        if name not in graph.members and name != "output":
            return f"{name} has no place on this prompt"
    return None


def _share(graph: GraphRecord, edge: EdgeTest) -> float | None:
    found = (e for e in graph.edges if (e.source, e.target) == (edge.from_, edge.to))
    return next((e.share for e in found), None)
