"""Judging what heads carry, and why they look where they look, from a record alone."""

import pytest

from tests.records import make_confirmable, make_graph_record, make_record
from tracer.errors import UsageError
from tracer.evidence.judge import judge_run
from tracer.evidence.measures import attends, because, carried
from tracer.evidence.measures.registry import graph_measure_of
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.because import Because
from tracer.hypothesis.expectations.carried import Carried
from tracer.hypothesis.spec import Hypothesis
from tracer.record.head_shares import HeadShareRecord, ReasonRecord
from tracer.record.trials import GraphEdge

FOUND = {"heads": ("1.2",), "part": 0.6, "whole": 1.5, "share": 0.4, "n_controls": 3}
COMPARED = FOUND | {"n_as_high": 0, "n_as_low": 3, "control_median": 0.1, "is_every_set": True}


def carrying(**tests):
    edge = {"from": "texas", "to": "output"}
    return Carried.model_validate({"carried": {"edge": edge, "heads": ["1.2"], **tests}})


def reason(**tests):
    asked = {"head": "1.2", "from": "last", "to": "city", "key": "texas", **tests}
    return Because.model_validate({"because": asked})


def look(share_above=None, share_below=None, **tests):
    asked = {"attends": {"head": "1.2", "from": "last", "to": "city"}, **tests}
    return Attends.model_validate(asked | {"above": share_above, "below": share_below})


def outcome(expectation, members=None, edges=(), **changes):
    """Of a graph whose shares are these."""
    record, _ = make_record()
    prompt = next(iter(record.prompts))
    told = COMPARED | changes
    where = {"query": 5, "key": 3}
    graph = make_graph_record(
        members={"texas": 2} if members is None else members,
        edges=edges,
        carried={carrying().carried.key: HeadShareRecord(**told)},
        reasons={reason().because.name: ReasonRecord(**told, **where)},
        looks={look().attends.key: HeadShareRecord(**told)},
    )
    record = record.model_copy(update={"graphs": {prompt: graph}})
    return graph_measure_of(expectation).judge(record, expectation, prompt)


@pytest.mark.parametrize("make", [carrying, reason, look])
def test_a_share_is_held_against_bounds_and_other_sets(make):
    held = outcome(make(share_above=0.3))
    assert (held.outcome, held.value) == ("held", 0.4)
    sign = "" if make is look else "+"  # a weight is from 0 to 1
    assert held.observed == f"{sign}0.40"
    assert outcome(make(share_above=0.4)).outcome == "failed"
    assert outcome(make(share_below=0.3)).outcome == "failed"
    found = outcome(make(beats_controls=0.25))
    assert (found.outcome, found.p, found.least_p) == ("held", 0.25, 0.25)
    assert found.observed == f"{sign}0.40, p 0.25 (controls {sign}0.10)"
    assert outcome(make(undercuts_controls=0.25)).outcome == "failed"
    assert outcome(make(beats_controls=0.25), n_as_high=1).outcome == "failed"


def test_where_too_few_other_heads_exist_it_is_untested():
    told = outcome(carrying(beats_controls=0.05)).reason
    assert told == "the 3 other sets of heads can reach p 0.25 at best, not 0.05"
    told = outcome(carrying(beats_controls=0.05), n_controls=0, control_median=None).reason
    assert told == "no controls: the layers have too few other heads"
    told = outcome(look(beats_controls=0.05)).reason
    assert told == "the 3 other sets of heads or keys can reach p 0.25 at best, not 0.05"
    told = outcome(reason(beats_controls=0.05), n_controls=0, control_median=None).reason
    assert told == "no controls: too few other features where those of texas are"


def edge_with(**others):
    return GraphEdge(source="texas", target="output", weight=1.0, share=0.2, **others)


@pytest.mark.parametrize(
    ("n", "as_high", "as_low", "is_told"),
    [
        (99, 40, 59, True),  # like any other set
        (99, 2, 97, False),  # above them
        (99, 97, 2, False),  # below them: it takes away
        (99, 5, 94, True),  # p 0.06
        (9, 5, 4, False),  # too few sets to tell
    ],
)
def test_of_an_edge_like_any_other_nobody_is_asked_what_carries_it(n, as_high, as_low, is_told):
    compared = {"n_controls": n, "n_as_high": as_high, "n_as_low": as_low, "control_median": 0.2}
    found = outcome(carrying(share_above=0.3), edges=(edge_with(**compared),))
    assert found.outcome == ("untested" if is_told else "held")
    if is_told:
        p = "0.41" if as_high == 40 else "0.06"
        assert found.reason == (
            "the edge texas → output is no stronger than those of other sets in the place of "
            f"texas (p {p}), so what carries it says nothing"
        )
    assert outcome(carrying(share_above=0.3), edges=(edge_with(),)).outcome == "held"


@pytest.mark.parametrize("make", [carrying, reason, look])
def test_what_has_no_share_is_untested(make):
    none = {"share": None, "problem": "head 1.2 does not see position 3"}
    assert outcome(make(share_above=0), **none).reason == none["problem"]
    assert outcome(make(share_above=0), share=float("nan")).reason == "the share is not a number"
    if make is not look:
        silent = outcome(make(share_above=0), members={"texas": 0})
        assert silent.reason == "no active feature: texas is silent on this prompt"


@pytest.mark.parametrize("make", [carrying, reason])
def test_a_bound_asks_for_a_part(make):
    for tests, where in (
        ({"share_above": -0.1}, "share_above"),
        ({"share_below": 2}, "share_below"),
    ):
        expectation = make(**tests)
        told = getattr(expectation, expectation.KEY).share_problems(("it",))
        [(path, message)] = told
        assert path == ("it", where) and "which asks for no part of it" in message
    for tests in ({"share_above": 0}, {"share_below": 1}):
        expectation = make(**tests)
        assert not list(getattr(expectation, expectation.KEY).share_problems(("it",)))


@pytest.mark.parametrize("n_others", [0, 3])
def test_all_heads_of_a_layer_are_told(n_others):
    record, arrays = make_confirmable()
    heads = [f"1.{head}" for head in range(4)]
    asked = {"edge": {"from": "texas", "to": "output"}, "heads": heads, "share_above": 0.3}
    data = record.hypothesis.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["graph"] = {"prompts": ["dallas"], "expect": [{"carried": asked}]}
    key = Carried.model_validate({"carried": asked}).carried.key
    found = COMPARED | {"heads": tuple(heads), "n_controls": n_others}
    graph = make_graph_record(members={"texas": 2}, carried={key: HeadShareRecord(**found)})
    bent = {"hypothesis": Hypothesis.model_validate(data), "graphs": {"dallas": graph}}
    verdict = judge_run(record.model_copy(update=bent | {"registration": None}), arrays)
    told = [each for each in verdict.missing if each.startswith("other heads: ")]
    assert verdict.verdict == "consistent" and len(told) == (n_others == 0)
    if told:
        assert told[0].startswith("other heads: 1.0, 1.1, 1.2, 1.3 are all of their layers")


def test_they_read_as_sentences():
    found = carried.word(carrying(share_above=0.5, beats_controls=0.05))
    assert found.measure == "share of edge texas → output that passes 1.2"
    assert found.test == "> 0.50 and above controls, p ≤ 0.05"
    found = attends.UNCLAMPED.word(look(beats_controls=0.05))
    assert found.measure == "attention of 1.2 from last to city"
    assert found.test == "above controls, p ≤ 0.05"
    found = because.word(reason(share_below=0.1, query="said"))
    assert found.measure == (
        "share of the score 1.2 last → city (minus mean) that comes of said at the query and texas "
        "at the key"
    )


def test_a_run_that_did_not_measure_it_is_refused():
    record, arrays = make_record()
    prompt = next(iter(record.prompts))
    expect = [carrying(share_above=0), reason(share_above=0), look(share_above=0)]
    section = {"prompts": [prompt], "expect": expect}
    data = record.hypothesis.model_dump(mode="json", by_alias=True)
    asked = Hypothesis.model_validate(data | {"graph": section})
    before = Hypothesis.model_validate(data | {"graph": section | {"expect": []}})
    graphs = {prompt: make_graph_record(members={"texas": 2})}
    record = record.model_copy(update={"hypothesis": before, "graphs": graphs})
    with pytest.raises(UsageError) as refused:
        judge_run(record, arrays, hypothesis=asked)
    assert "the part 1.2 of texas → output was not measured" in str(refused.value)
    assert "the reason 1.2 last → city (minus mean): all × texas was not" in str(refused.value)
    assert "the attention 1.2 last → city was not read" in str(refused.value)


def test_a_look_alone_is_consistent_at_best():
    record, arrays = make_record()
    prompt = next(iter(record.prompts))
    declared = record.hypothesis.model_dump(mode="json", by_alias=True)
    claims = {"prompts": [prompt], "expect": [look(share_above=0.3)]}
    asked = Hypothesis.model_validate(declared | {"graph": claims, "interventions": {}})
    told = HeadShareRecord(**COMPARED)
    graphs = {prompt: make_graph_record(looks={look().attends.key: told})}
    changes = {"hypothesis": asked, "graphs": graphs, "interventions": {}}
    verdict = judge_run(record.model_copy(update=changes), {})
    assert verdict.verdict == "consistent"
    assert verdict.missing == (
        "an intervention: that a head looks somewhere does not say that anything needs it",
    )
    assert "unclamped, attention of 1.2 from last to city: > 0.30" in verdict.reason
