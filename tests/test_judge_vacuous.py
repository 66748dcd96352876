"""Judging: what would hold without the clamp, or could not fail, shows nothing."""

import pytest

from tests.judging import DIFF, HELD_OUT, SWAP, expecting, judged, only
from tests.records import (
    change,
    make_reading,
    make_record,
)
from tracer.evidence.judge import judge_run


def test_what_could_not_fail_is_not_counted_as_held():
    held, empty = {"top": " Sacramento"}, {"rank": " Austin", "at_most": 3}
    untested = {"logit_diff": DIFF, "beats_controls": 0.001}
    verdict = judged(held, empty, untested)
    assert [o.outcome for o in verdict.outcomes] == ["held", "vacuous", "untested"]
    assert verdict.reason.startswith(
        "1 held, 1 could not fail, 1 of 3 expectations could not be tested: 999 controls"
    )


def test_what_holds_unclamped_is_vacuous_and_alone_shows_nothing():
    verdict = judged({"rank": " Austin", "at_most": 3})
    outcome = only(verdict)
    assert (outcome.outcome, outcome.n_vacuous, outcome.n_held) == ("vacuous", 1, 0)
    assert outcome.reason == "it holds unclamped as well: 1 (from 1)"
    assert (verdict.verdict, bool(verdict)) == ("inconclusive", False)
    assert verdict.reason == (
        "nothing that could fail was tested: texas_to_california, rank of ' Austin': at most 3: "
        "it holds unclamped as well: 1 (from 1)"
    )
    beside = judged({"rank": " Austin", "at_most": 3}, {"top": " Sacramento"})
    assert beside.verdict == "consistent" and beside.reason.startswith("1 of 2 expectations held")
    assert beside.missing[0].startswith(
        "an expectation that can fail: texas_to_california, rank of ' Austin': at most 3"
    )


def test_a_clamp_that_changes_no_value_shows_nothing():
    record, arrays = make_record(hypothesis=expecting({"top": " Sacramento"}))
    where = f"interventions.{SWAP}.trials.dallas.clamps"
    still = [
        clamp.model_copy(update={"write_norm": 0.0})
        for clamp in record.interventions[SWAP].trials["dallas"].clamps
    ]
    outcome = only(judge_run(change(record, where, tuple(still)), arrays))
    assert outcome.outcome == "vacuous"
    assert outcome.reason == "the clamps change no value on this prompt"
    half = (still[0], still[1].model_copy(update={"write_norm": 14.2}))
    assert only(judge_run(change(record, where, half), arrays)).outcome == "held"


@pytest.mark.parametrize(
    ("n_same", "mostly", "needed", "outcome"),
    [
        (1, 1.0, 3, "vacuous"),
        (1, 2 / 3, 2, "held"),
        (2, 2 / 3, 2, "vacuous"),
        (3, 0.3, 1, "vacuous"),
    ],
)
def test_vacuous_prompts_count_for_neither_side(n_same, mostly, needed, outcome):
    same = make_reading(Sacramento=0.5, Austin=0.2, Tallahassee=0.1)
    found = only(
        judged(
            {"probability": " Austin", "below": 0.3, "mostly": mostly},
            prompts=HELD_OUT,
            baselines={
                name: make_reading(Austin=0.29, Sacramento=0.08) for name in HELD_OUT[:n_same]
            },
            clamped={(SWAP, name): same for name in HELD_OUT},
        )
    )
    assert (found.needed, found.outcome, found.n_vacuous) == (needed, outcome, n_same)
    assert found.n_held == 3 - n_same
