"""Judging: each measure, its controls and its doses, on made readings."""

import math

import numpy as np
import pytest

from tests.judging import DIFF, SWAP, expecting, judged, only
from tests.records import (
    LOGSUMEXP,
    change,
    make_reading,
    make_record,
)
from tracer.evidence.judge import judge_run


@pytest.mark.parametrize(
    ("expectation", "measure", "expected", "observed", "value"),
    [
        ({"top": " Sacramento"}, "top token", "' Sacramento'", "' Sacramento' 0.44", None),
        ({"top_is_not": "{answer}"}, "top token", "not ' Austin'", "' Sacramento' 0.44", None),
        (
            {"rank": " Sacramento", "at_most": 1},
            "rank of ' Sacramento'",
            "at most 1",
            "1 (from 3)",
            1,
        ),
        (
            {"probability": " Sacramento", "above": 0.4},
            "probability of ' Sacramento'",
            "> 0.40",
            "0.44 (from 0.08)",
            0.44,
        ),
        (
            {"probability": " Austin", "below": 0.0625},
            "probability of ' Austin'",
            "< 0.0625",
            "0.06 (from 0.26)",
            0.06,
        ),
        (
            {"probability": " Austin", "falls_by": 0.19},
            "probability of ' Austin'",
            "falls by > 0.19",
            "−0.20 (0.26 → 0.06)",
            0.20,
        ),
        (
            {"logit_diff": DIFF, "rises_by": 3},
            "logit(' Sacramento') − logit(' Austin')",
            "rises by > 3.00",
            "+3.17 (−1.18 → +1.99)",
            math.log(0.44 / 0.06) - math.log(0.08 / 0.26),
        ),
        (
            {"supernode": "say_austin", "fraction_below": 0.6, "of": "source"},
            "activation of say_austin, share of its source one",
            "< 0.60",
            "0.40",
            0.4,
        ),
    ],
)
def test_each_measure_is_read_compared_and_worded(expectation, measure, expected, observed, value):
    outcome = only(judged(expectation))
    assert outcome.outcome == "held"
    assert outcome.expectation == measure
    assert outcome.expected == f"{expected} on 1 of 1 prompt"
    (prompt,) = outcome.prompts
    assert prompt.observed.startswith(observed)
    assert prompt.value == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    "expectation",
    [
        {"top": " Austin"},
        {"top_is_not": " Sacramento"},
        {"rank": " Austin", "at_most": 2},
        {"probability": " Sacramento", "above": 0.45},
        {"probability": " Sacramento", "below": 0.43},
        {"probability": " Sacramento", "rises_by": 0.37},
        {"probability": " Austin", "falls_by": 0.21},
        {"logit_diff": DIFF, "falls_by": 0},
        {"logit_diff": DIFF, "undercuts_controls": 0.01},
        {"probability": " Austin", "beats_controls": 0.01},
        {"supernode": "say_austin", "fraction_below": 0.3},
        {"supernode": "say_austin", "fraction_above": 0.9},
    ],
)
def test_each_measure_can_fail_and_refutes(expectation):
    verdict = judged(expectation)
    assert only(verdict).outcome == "failed"
    assert verdict.verdict == "refuted"
    assert verdict.reason.startswith("1 of 1 expectation failed: with texas ×0, california ×1")


def test_thresholds_are_strict():
    reading = make_reading(Sacramento=0.5, Austin=0.25)
    clamped = {(SWAP, "dallas"): reading}
    value = reading.tokens[" Sacramento"].probability
    for test in ("above", "below"):
        failed = judged({"probability": " Sacramento", test: value}, clamped=clamped)
        assert only(failed).outcome == "failed"


@pytest.mark.parametrize(
    ("name", "expectation"),
    [
        ("logit_diff", {"logit_diff": DIFF, "beats_controls": 0.01}),
        ("probability", {"probability": " Sacramento", "beats_controls": 0.01}),
        ("probability", {"probability": " Austin", "undercuts_controls": 0.01}),
    ],
)
def test_a_clamp_beyond_all_controls_has_the_smallest_p(name, expectation):
    (prompt,) = only(judged(expectation)).prompts
    assert (prompt.outcome, prompt.p) == ("held", 0.01)


def test_p_counts_each_control_that_does_as_well():
    record, arrays = make_record(hypothesis=expecting({"logit_diff": DIFF, "beats_controls": 0.05}))
    reading = record.interventions[SWAP].trials["dallas"].reading
    best = reading.tokens[" Sacramento"].logit - reading.tokens[" Austin"].logit
    logits = arrays[f"controls/{SWAP}/dallas/logits"]
    logits[7] = (LOGSUMEXP, LOGSUMEXP + best)  # a tie, [' Austin', ' Sacramento']
    logits[8] = (LOGSUMEXP, LOGSUMEXP + best + 1)
    logits[9] = (LOGSUMEXP, LOGSUMEXP + best - 1)
    (prompt,) = only(judge_run(record, arrays)).prompts
    assert prompt.p == (1 + 2) / 100
    assert prompt.outcome == "held"


def test_probability_of_controls_is_normalised_by_their_own_sum():
    asked = expecting({"probability": " Sacramento", "beats_controls": 0.01})
    record, arrays = make_record(hypothesis=asked)
    stem = f"controls/{SWAP}/dallas"
    shares = np.linspace(0.40, 0.47, 99)
    arrays[f"{stem}/logsumexp"] = np.linspace(3.0, 30.0, 99)
    arrays[f"{stem}/logits"][:, 1] = np.log(shares) + arrays[f"{stem}/logsumexp"]
    (prompt,) = only(judge_run(record, arrays)).prompts
    assert prompt.p == (1 + int((shares >= 0.44).sum())) / 100
    assert prompt.outcome == "failed"


def test_too_few_controls_are_untested_never_failed():
    verdict = judged({"logit_diff": DIFF, "undercuts_controls": 0.01}, n_controls=19)
    assert only(verdict).reason == "99 controls are needed for p ≤ 0.01; 19 were drawn"
    assert verdict.verdict == "inconclusive"
    none = judged({"logit_diff": DIFF, "beats_controls": 0.5}, n_controls=0)
    assert only(none).reason == "1 control is needed for p ≤ 0.50; 0 were drawn"


def test_nineteen_controls_are_enough_for_five_percent():
    assert only(judged({"logit_diff": DIFF, "beats_controls": 0.05}, n_controls=19)).n_held == 1


def test_doses_that_rise_hold_and_doses_that_fall_fail():
    outcome = only(judged(doses=[{"rises": " Sacramento"}]))
    assert outcome.outcome == "held"
    assert outcome.expected == "rises, p ≤ 0.05 on 1 of 1 prompt"
    assert outcome.prompts[0].p == pytest.approx(1 / math.factorial(5))
    assert outcome.prompts[0].value == pytest.approx(1)
    assert only(judged(doses=[{"falls": " Austin"}])).outcome == "held"
    assert only(judged(doses=[{"falls": " Sacramento"}])).outcome == "failed"
    assert only(judged(doses=[{"rises": " Sacramento", "p": 0.0083}])).outcome == "untested"


def test_too_few_doses_are_untested():
    outcome = only(judged(doses=[{"rises": " Sacramento", "p": 0.005}]))
    assert outcome.reason == "5 doses can reach p 0.0083 at best, not 0.005"


def test_a_dose_that_was_not_measured_is_untested():
    where = f"interventions.{SWAP}.trials.dallas.doses"
    outcome = only(judged(doses=[{"rises": " Sacramento"}], bend={where: ()}))
    assert outcome.reason == "0 of 5 doses measured"


def test_doses_that_change_nothing_do_not_rise():
    record, arrays = make_record(hypothesis=expecting(doses=[{"rises": " Sacramento"}]))
    where = f"interventions.{SWAP}.trials.dallas.doses"
    flat = tuple(
        dose.model_copy(update={"reading": make_reading(Sacramento=0.3 + 1e-8 * dose.factor)})
        for dose in record.interventions[SWAP].trials["dallas"].doses
    )
    verdict = judge_run(change(record, where, flat), arrays)
    assert only(verdict).prompts[0].value == 0
    assert only(verdict).outcome == "failed"
