from __future__ import annotations

import pytest

from tests.judging import DIFF, SWAP, expecting, judged, only
from tests.records import TOKENS, make_record
from tracer.evidence.judge import judge_run
from tracer.record.arrays import control_key


def two(alpha: float, n_controls: int):
    both = [{"logit_diff": DIFF, "beats_controls": alpha}] * 2
    return judged(*both, n_controls=n_controls)


def test_two_expectations_pay_for_each_other():
    first, second = two(0.05, 99).outcomes
    assert (first.p, second.p) == (0.01, 0.01)
    assert (first.p_adjusted, second.p_adjusted) == (0.02, 0.02)
    assert first.outcome == second.outcome == "held"


def test_one_expectation_pays_nothing():
    outcome = only(judged({"logit_diff": DIFF, "beats_controls": 0.01}))
    assert (outcome.p_adjusted, outcome.outcome) == (0.01, "held")


def test_too_few_controls_for_the_correction_is_untested():
    first, second = two(0.01, 99).outcomes
    assert first.outcome == second.outcome == "untested"
    assert first.reason == (
        "corrected for 2 tests of this hypothesis (Holm), p can reach 0.02 at best, not 0.01: "
        "draw more controls"
    )


def test_a_p_that_does_not_survive_the_correction_has_failed():
    beats = {"logit_diff": DIFF, "beats_controls": 0.05}
    record, arrays = make_record(hypothesis=expecting(beats, beats))
    logits = arrays[control_key(SWAP, "dallas", "logits")]
    logits[:3, TOKENS.index(" Sacramento")] += 100
    first, second = judge_run(record, arrays).outcomes
    assert first.p == pytest.approx(0.04)
    assert (first.outcome, first.p_adjusted) == ("failed", pytest.approx(0.08))
    assert second.outcome == "failed"
    assert first.observed.endswith("; corrected for 2 tests of this hypothesis (Holm), p is 0.08")


def test_an_untested_expectation_counts_among_the_tests():
    asked = [{"logit_diff": DIFF, "beats_controls": alpha} for alpha in (0.05, 0.001)]
    first, second = judged(*asked).outcomes
    assert second.outcome == "untested" and second.p is None
    assert first.p_adjusted == pytest.approx(0.02)
