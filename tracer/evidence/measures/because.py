"""Tests of why a head looks where it looks: `because`."""

from __future__ import annotations

from tracer.evidence.case import Wording, untested
from tracer.evidence.measures.graph_share import Share, bounds_words, graph_of, judge_share
from tracer.evidence.measures.measure import GraphMeasure
from tracer.evidence.wording import counted, named, signed
from tracer.hypothesis.expectations.because import Because
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome


def word(expectation: Because) -> Wording:
    """How it is written."""
    asked = expectation.because
    sides = [
        f"{name} at the {side}"
        for side, name in (("query", asked.query), ("key", asked.key))
        if name is not None
    ]
    measure = f"share of the score {asked.score} that comes of {' and '.join(sides)}"
    return Wording(measure, bounds_words(asked.bounds), signed, asked.bounds.alpha)


def judge(record: Record, expectation: Because, prompt: str) -> PromptOutcome:
    """Judge it on one prompt's graph."""
    asked = expectation.because
    graph = graph_of(record, prompt, asked.sides)
    if isinstance(graph, str):
        return untested(prompt, graph)
    found = graph.reasons.get(asked.name)
    if found is None:
        return untested(prompt, "why heads look there was not measured")
    if found.share is None:
        return untested(prompt, found.problem or "it has no share")
    reason = f"too few other features where those of {named(asked.sides)} are"
    share = Share(found.share, found, reason, counted(found.n_controls, "control"))
    return judge_share(prompt, share, asked.bounds)


MEASURE = GraphMeasure(Because, word, judge)
