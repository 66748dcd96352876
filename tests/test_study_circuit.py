"""Judging circuits: quotients, the tests of Shi et al., and what cannot be tested."""

import math

import numpy as np
import pytest

from tests.circuits import NAME, outcome_of, recorded
from tracer.errors import UsageError
from tracer.evidence.circuit_scores import areas_of, curve_of, scores_of
from tracer.evidence.circuit_tests import standings
from tracer.evidence.judge import judge_run
from tracer.evidence.statistics import holm

FAITHFUL = {"faithfulness": {"above": 0.6}}
COMPLETE = {"completeness": {"below": 0.3}}


def binomial(k, n, q):
    return float(sum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k, n + 1)))


def test_faithfulness_and_completeness_are_quotients():
    outcome = outcome_of(FAITHFUL, whole=[4.0, 4.0], empty=1.0, circuit=[3.1, 2.5])
    first, second = outcome.prompts
    assert (first.outcome, first.value) == ("held", pytest.approx(0.7))
    assert (second.outcome, second.value) == ("failed", pytest.approx(0.5))
    assert first.observed == "0.70 (F(C) 3.10, F(∅) 1.00, F(M) 4.00)"
    outcome = outcome_of(COMPLETE, whole=[4.0], empty=1.0, circuit=3.0, rest=1.6)
    assert (outcome.outcome, outcome.prompts[0].value) == ("held", pytest.approx(0.2))
    assert outcome.expectation == "completeness f(M∖C)" and "< 0.30" in outcome.expected


def test_a_small_denominator_is_untested_and_so_is_not_a_number():
    small = outcome_of(FAITHFUL, whole=[1.2], empty=1.0, circuit=1.1)
    assert small.outcome == "untested"
    assert "moves the metric by 0.20, less than 0.25" in small.reason
    broken = outcome_of(FAITHFUL, whole=[float("nan")], circuit=1.1)
    assert broken.reason == "a score is not finite (NaN or infinite)"
    random = np.full((1, 99), np.nan)
    unknown = outcome_of({"sufficient": 0.05}, whole=[4.0], circuit=1.1, random=random)
    assert unknown.outcome == "untested" and "not finite" in unknown.reason


def test_a_wrong_baseline_and_a_missing_prompt_are_untested():
    def without_answer(record):
        other = record.prompts["city0"].model_copy(update={"answer": " Tallahassee"})
        return record.model_copy(update={"prompts": record.prompts | {"city0": other}})

    found = outcome_of(FAITHFUL, whole=[4.0], circuit=4.0, bend=without_answer)
    assert found.outcome == "untested" and "baseline" in found.reason
    gone = outcome_of(
        FAITHFUL,
        whole=[4.0],
        circuit=4.0,
        bend=lambda record: record.model_copy(update={"circuit": {}}),
    )
    assert gone.reason == "it was not measured: the run is incomplete"


def test_what_could_not_be_measured_tells_why():
    def other_length(record):
        trial = record.circuit[NAME].trials["city0"]
        trial = trial.model_copy(update={"scores": None, "problem": "9 tokens and this one 10"})
        circuit = record.circuit[NAME].model_copy(update={"trials": {"city0": trial}})
        return record.model_copy(update={"circuit": {NAME: circuit}})

    for expectation in (FAITHFUL, {"sufficient": 0.05}):
        found = outcome_of(expectation, whole=[4.0], circuit=4.0, bend=other_length)
        assert found.outcome == "untested" and "9 tokens and this one 10" in found.reason


def test_sufficiency_counts_the_random_circuits_it_is_ahead_of():
    random = np.array([[3.9, *np.linspace(0, 1, 98)]] * 2)  # one of 99 is nearer
    found = outcome_of({"sufficient": 0.05}, whole=[4.0, 4.0], circuit=3.5, random=random)
    (one,) = found.prompts
    assert one.p == pytest.approx(binomial(98, 99, 0.9))
    assert one.least_p == pytest.approx(0.9**99)
    assert (found.outcome, one.value) == ("held", pytest.approx(98 / 99))
    assert one.prompt == "2 prompts together" and found.wilson is None
    assert found.expected == "p ≤ 0.05, 2 prompts together"
    mixed = np.array([[3.9] * 20 + [1.0] * 79] * 2)
    found = outcome_of({"sufficient": 0.05}, whole=[4.0, 4.0], circuit=3.5, random=mixed)
    assert found.outcome == "failed" and found.prompts[0].p == pytest.approx(binomial(79, 99, 0.9))


def test_partial_necessity_counts_what_changes_less():
    rest = np.array([[4.0] * 98 + [0.5]])
    found = outcome_of({"partially_necessary": 0.05}, whole=[4.0], circuit=4, rest=1.0,
                       random_rest=rest)  # fmt: skip
    assert found.prompts[0].p == pytest.approx(binomial(98, 99, 0.9)) and found.outcome == "held"


def test_controls_that_are_all_the_same_or_too_few_say_nothing():
    same = outcome_of({"sufficient": 0.05}, whole=[4.0], circuit=3.5, random=np.full((1, 99), 1.0))
    assert same.outcome == "untested" and "come out the same" in same.reason
    few = outcome_of({"sufficient": 0.05}, whole=[4.0], circuit=3.5, n_random=28)
    assert few.reason == "28 random circuits can reach p 0.052 at best, not 0.05"
    none = outcome_of(
        {"partially_necessary": 0.05}, whole=[4.0], circuit=3.5, random_rest=np.zeros((1, 0)),
        random=np.zeros((1, 0)),
    )  # fmt: skip
    assert none.reason == "there are no random circuits"


def test_a_member_that_does_no_more_than_fillers_is_idle():
    filler = 3.5 + np.linspace(-0.1, 0.1, 99)[None].repeat(2, 0)
    without = np.array([[1.0, 3.5, 3.5 - 0.099]] * 2)
    scores = {"whole": [4.0, 4.0], "circuit": 3.5, "without": without, "filler": filler}
    found = outcome_of({"minimal": 0.05}, **scores)
    assert found.outcome == "failed"
    assert "2 of 3 left out are not shown to be idle (idle: texas 3_4)" in found.observed
    record, arrays = recorded({"minimal": 0.05}, **scores)
    ranks = standings(scores_of(record, arrays, NAME, ["city0", "city1"]), 0.9)
    ahead = [99, 0, sum(abs(x) < 0.099 - 1e-9 for x in np.linspace(-0.1, 0.1, 99))]
    assert [each.n_ahead for each in ranks] == ahead
    tails = [1.0 - binomial(n + 1, 99, 0.9) for n in ahead]
    assert [each.p for each in ranks] == pytest.approx(holm(tails), abs=1e-12)
    assert ranks[0].distance == pytest.approx(2.5**2)


def test_minimality_without_fillers_or_with_too_few_is_untested():
    empty = np.zeros((1, 0))
    found = outcome_of({"minimal": 0.05}, whole=[4.0], circuit=3.5, filler=empty)
    assert found.reason == "there are no fillers"
    found = outcome_of({"minimal": 0.05}, whole=[4.0], circuit=3.5, filler=np.array([[1.0]]))
    assert found.reason == "1 filler and 3 members can reach p 0.3 at best, not 0.05"


def test_equivalence_needs_prompts_and_both_signs():
    half = 4 + np.array([0.5, -0.5] * 10)
    found = outcome_of({"equivalent": 0.05, "margin": 0.2}, whole=[4.0] * 20, circuit=half)
    assert found.outcome == "held" and found.prompts[0].p == pytest.approx(binomial(10, 20, 0.3))
    below = outcome_of({"equivalent": 0.05, "margin": 0.2}, whole=[4.0] * 20, circuit=3.5)
    assert below.outcome == "failed" and below.prompts[0].value == 0
    few = outcome_of({"equivalent": 0.05, "margin": 0.2}, whole=[4.0] * 2, circuit=[3.0, 5.0])
    assert few.outcome == "untested" and "20 are needed" in few.reason
    same = outcome_of({"equivalent": 0.05}, whole=[4.0] * 20, circuit=4.0)
    assert "there is no sign" in same.reason


def test_independence_is_refuted_by_dependence_and_untested_without_variance():
    whole = np.linspace(2, 6, 24)
    depends = outcome_of({"independent": 0.05}, whole=whole, circuit=1.0, rest=whole / 2)
    assert depends.outcome == "failed" and "depends on the model's score" in depends.observed
    noise = np.random.default_rng(5).normal(size=24)
    apart = outcome_of({"independent": 0.05}, whole=whole, circuit=1.0, rest=noise)
    assert apart.outcome == "held" and apart.prompts[0].p is None
    flat = outcome_of({"independent": 0.05}, whole=whole, circuit=1.0, rest=0.3)
    assert "zero variance" in flat.reason
    few = outcome_of({"independent": 0.05}, whole=whole[:19], circuit=1.0, rest=whole[:19])
    assert few.outcome == "untested" and few.reason.startswith("19 prompts: below 20")


def test_the_curve_is_a_quotient_of_means():
    curve = np.stack([np.linspace(0, 4, 10), np.linspace(2, 2, 10)])
    record, arrays = recorded(whole=[4.0, 2.0], circuit=1.0, curve=curve)
    split = scores_of(record, arrays, NAME, ["city0", "city1"])
    found = curve_of(split)
    assert found == pytest.approx([(a + 2) / 6 for a in np.linspace(0, 4, 10)])
    shares = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    assert areas_of(found).cpr == pytest.approx(np.trapezoid(found, shares))
    assert areas_of(found).cmd == pytest.approx(np.trapezoid(1 - np.array(found), shares))


def test_holm_takes_all_tests_of_the_file_together():
    random = np.array([[1.0] * 50 + [1.1] * 45 + [3.9] * 4])
    record, arrays = recorded(
        {"sufficient": 0.1}, {"partially_necessary": 0.1}, whole=[4.0], circuit=3.5, rest=1.0,
        random=random,
    )  # fmt: skip
    sufficient, necessary = judge_run(record, arrays).outcomes
    assert sufficient.p == pytest.approx(binomial(95, 99, 0.9))
    assert sufficient.p_adjusted == pytest.approx(sufficient.p)
    assert necessary.p_adjusted == pytest.approx(2 * necessary.p)


def test_the_reason_tells_a_test_of_all_prompts_as_such():
    random = np.array([[3.9] * 20 + [1.0] * 79])
    record, arrays = recorded({"sufficient": 0.05}, whole=[4.0], circuit=3.5, random=random)
    reason = judge_run(record, arrays).reason
    assert "of the circuit states, sufficiency" in reason and "79 of 99" in reason


def test_arrays_that_do_not_fit_are_refused():
    record, arrays = recorded(FAITHFUL, whole=[4.0], circuit=3.5)
    del arrays[f"circuit/{NAME}/city0/filler"]
    arrays[f"circuit/{NAME}/city0/curve"] = np.zeros(3)
    with pytest.raises(UsageError, match=r"filler' is missing[\s\S]*curve' has shape \[3\]"):
        judge_run(record, arrays)
