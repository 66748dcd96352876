"""Judging edges of an attribution graph."""

import pytest

from tests.bench import TINY
from tests.records import make_graph_record, make_record
from tracer.evidence.measures.edge import judge, word
from tracer.hypothesis.expectations.edge import Edge
from tracer.record.trials import GraphEdge


def edge(**bounds):
    return Edge.model_validate({"edge": {"from": "texas", "to": "say_austin", **bounds}})


def with_graph(**changes):
    record, _ = make_record()
    prompt = next(iter(record.prompts))
    graph = make_graph_record(
        **{
            "completeness": 0.8,
            "members": {"texas": 2, "say_austin": 1},
            "edges": (
                GraphEdge(source="texas", target="say_austin", weight=0.4, share=0.2),
                GraphEdge(source="say_austin", target="texas", weight=0.0, share=None),
            ),
        }
        | changes
    )
    return record.model_copy(update={"graphs": {prompt: graph}}), prompt


@pytest.mark.parametrize(
    ("bounds", "outcome"),
    [
        ({"above": 0.1}, "held"),
        ({"above": 0.2}, "failed"),
        ({"below": 0.3}, "held"),
        ({"above": 0.0, "below": 0.1}, "failed"),
    ],
)
def test_the_share_is_held_against_the_bounds(bounds, outcome):
    record, prompt = with_graph()
    found = judge(record, edge(**bounds), prompt)
    assert (found.outcome, found.value, found.observed) == (outcome, 0.2, "+0.20")


def compared(n_controls=99, n_as_high=3, **more):
    found = GraphEdge(
        source="texas",
        target="say_austin",
        weight=0.4,
        share=0.2,
        n_controls=n_controls,
        n_as_high=n_as_high,
        n_as_low=n_controls - n_as_high,
        control_median=0.05,
    )
    record, prompt = with_graph(edges=(found.model_copy(update=more),))
    return lambda **bounds: judge(record, edge(**bounds), prompt)


def test_it_is_held_against_edges_of_other_sets():
    judge_it = compared()
    found = judge_it(beats_controls=0.05)
    assert (found.outcome, found.p) == ("held", 4 / 100)
    assert found.observed == "+0.20, p 0.04 (controls +0.05)"
    assert judge_it(beats_controls=0.03).outcome == "failed"
    assert judge_it(undercuts_controls=0.05).outcome == "failed"
    assert judge_it(beats_controls=0.05, above=0.3).outcome == "failed"


def test_too_few_other_sets_are_untested():
    found = compared(n_controls=9, n_as_high=0)(beats_controls=0.05)
    assert found.reason == "9 controls can reach p 0.1 at best, not 0.05"
    found = compared(n_controls=0, n_as_high=0, control_median=None)(beats_controls=0.05)
    assert found.reason == "no controls: too few other features where those of texas are"


def test_what_is_silent_or_missing_is_untested():
    record, prompt = with_graph(members={"texas": 0, "say_austin": 1})
    silent = judge(record, edge(above=0), prompt)
    assert silent.reason == "no active feature: texas is silent on this prompt"
    record, prompt = with_graph(members={"texas": 2})
    assert judge(record, edge(above=0), prompt).reason == ("say_austin has no place on this prompt")
    record, prompt = with_graph(edges=())
    assert "nothing enters" in judge(record, edge(above=0), prompt).reason
    assert "was not measured" in judge(make_record()[0], edge(above=0), prompt).reason


def test_it_reads_as_a_sentence():
    wording = word(edge(above=0.1, below=0.5))
    assert wording.measure == "edge texas → say_austin, share of what enters say_austin"
    assert wording.test == "> 0.10 and < 0.50"
    assert word(edge(undercuts_controls=0.01)).test == "below controls, p ≤ 0.01"
    assert "graph" not in TINY
