"""Tests of which heads carry an edge of the attribution graph: `carried`."""

from __future__ import annotations

from tracer.evidence.case import Wording, untested
from tracer.evidence.measures.graph_share import Share, bounds_words, graph_of, judge_share
from tracer.evidence.measures.measure import GraphMeasure
from tracer.evidence.wording import counted, signed
from tracer.hypothesis.attention import heads_words
from tracer.hypothesis.expectations.carried import Carried
from tracer.record.head_shares import HeadShareRecord
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome


def word(expectation: Carried) -> Wording:
    """How it is written."""
    asked = expectation.carried
    edge = f"edge {asked.edge.from_} → {asked.edge.to}"
    measure = f"share of {edge} that passes {heads_words(asked.heads)}"
    return Wording(measure, bounds_words(asked.bounds), signed, asked.bounds.alpha)


def judge(record: Record, expectation: Carried, prompt: str) -> PromptOutcome:
    """Judge it on one prompt's graph."""
    asked = expectation.carried
    graph = graph_of(record, prompt, (asked.edge.from_, asked.edge.to))
    if isinstance(graph, str):
        return untested(prompt, graph)
    found = graph.carried.get(asked.key)
    if found is None:
        return untested(prompt, "what heads carry was not measured")
    if found.share is None:
        return untested(prompt, found.problem or "it has no share")
    share = Share(found.share, found, "the layers have too few other heads", drawn(found))
    return judge_share(prompt, share, asked.bounds)


def drawn(found: HeadShareRecord, of: str = "heads") -> str:
    """How many other sets it is compared with, and whether these are all."""
    if not found.is_every_set:
        return counted(found.n_controls, "control")
    return f"the {counted(found.n_controls, 'other set')} of {of}"


MEASURE = GraphMeasure(Carried, word, judge)
