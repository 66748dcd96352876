"""Judging what heads carry, and why they look where they look, from a record alone."""

import pytest

from tests.records import make_graph_record, make_record
from tracer.errors import UsageError
from tracer.evidence.judge import judge_run
from tracer.evidence.measures import attends, because, carried
from tracer.evidence.measures.registry import graph_measure_of
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.because import Because
from tracer.hypothesis.expectations.carried import Carried
from tracer.hypothesis.spec import Hypothesis
from tracer.record.head_shares import HeadShareRecord, ReasonRecord

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


def outcome(expectation, members=None, **changes):
    """Of a graph whose shares are these."""
    record, _ = make_record()
    prompt = next(iter(record.prompts))
    told = COMPARED | changes
    where = {"query": 5, "key": 3}
    graph = make_graph_record(
        members={"texas": 2} if members is None else members,
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


@pytest.mark.parametrize("make", [carrying, reason, look])
def test_what_has_no_share_is_untested(make):
    none = {"share": None, "problem": "head 1.2 does not see position 3"}
    assert outcome(make(share_above=0), **none).reason == none["problem"]
    assert outcome(make(share_above=0), share=float("nan")).reason == "the share is not a number"
    if make is not look:
        silent = outcome(make(share_above=0), members={"texas": 0})
        assert silent.reason == "no active feature: texas is silent on this prompt"


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
