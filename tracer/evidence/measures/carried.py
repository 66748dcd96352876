"""Tests of which heads carry an edge of the attribution graph: `carried`."""

from __future__ import annotations

from tracer.evidence.case import Wording, untested
from tracer.evidence.claimed_links import edge_between
from tracer.evidence.measures.graph_share import (
    Share,
    bounds_words,
    graph_of,
    judge_share,
    share_p,
)
from tracer.evidence.measures.measure import GraphMeasure
from tracer.evidence.statistics import controls_needed
from tracer.evidence.wording import counted, p_text, signed
from tracer.hypothesis.attention import heads_words
from tracer.hypothesis.expectations.carried import Carried
from tracer.record.head_shares import HeadShareRecord
from tracer.record.record import Record
from tracer.record.trials import GraphRecord
from tracer.record.verdict import PromptOutcome

LEVEL = 0.05
"""Of an edge against other sets in the place of its source."""


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
    weak = _no_edge(graph, asked.edge.from_, asked.edge.to)
    if weak is not None:
        return untested(prompt, weak)
    share = Share(found.share, found, "the layers have too few other heads", drawn(found))
    return judge_share(prompt, share, asked.bounds)


def _no_edge(graph: GraphRecord, source: str, target: str) -> str | None:
    """Why there is no edge to speak of: other sets in the source's place have as strong a one.

    None where it is stronger, above or below them, and where there are too few sets to tell. What
    is left of an edge that is nothing in particular passes some heads or others.
    """
    edge = edge_between(graph, source, target)
    if edge is None or edge.control_median is None or edge.n_controls < controls_needed(LEVEL):
        return None
    p = min(share_p(edge, "above"), share_p(edge, "below"))
    if p <= LEVEL:
        return None
    return (
        f"the edge {source} → {target} is no stronger than those of other sets in the place of "
        f"{source} (p {p_text(p)}), so what carries it says nothing"
    )


def drawn(found: HeadShareRecord, of: str = "heads") -> str:
    """How many other sets it is compared with, and whether these are all."""
    if not found.is_every_set:
        return counted(found.n_controls, "control")
    return f"the {counted(found.n_controls, 'other set')} of {of}"


MEASURE = GraphMeasure(Carried, word, judge)
