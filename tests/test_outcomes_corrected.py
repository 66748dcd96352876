from __future__ import annotations

import numpy as np
import pytest

from tests.judging import DIFF, SWAP, expecting, judged, only
from tests.records import TOKENS, make_record
from tracer.evidence.case import Wording
from tracer.evidence.judge import judge_run
from tracer.evidence.outcomes import split_outcome
from tracer.record.arrays import control_key
from tracer.record.verdict import PromptOutcome


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


WORDING = Wording("measure", "test", alpha=0.05)


def of_prompts(ps, mostly):
    """The outcome of prompts with these p-values, each judged at 0.05."""
    prompts = [
        PromptOutcome(
            prompt=f"p{n}",
            outcome="held" if p <= 0.05 else "failed",
            observed="",
            p=p,
            least_p=0.01,
        )
        for n, p in enumerate(ps)
    ]
    return split_outcome("it", "held out", WORDING, mostly, prompts)


def test_k_of_n_have_the_p_of_that_many_and_not_of_one():
    found = of_prompts([0.01, 0.012, 0.015, 0.5, 0.9], 0.6)
    assert (found.needed, found.outcome, found.p) == (3, "held", pytest.approx(3 * 0.015))
    assert found.least_p == pytest.approx(3 * 0.01)
    failed = of_prompts([0.01, 0.02, 0.03, 0.5, 0.9], 0.6)
    assert failed.n_held == 3 and failed.outcome == "failed"
    assert failed.p == pytest.approx(0.09)
    assert failed.observed.endswith("; for 3 of 5 together p is 0.09")
    every = of_prompts([0.01, 0.02, 0.03], 1.0)
    assert (every.p, every.least_p, every.outcome) == (0.03, None, "held")


def test_k_of_n_that_no_controls_could_show_is_untested():
    found = of_prompts([0.01] * 10, 0.3)
    assert (found.needed, found.p, found.outcome) == (3, pytest.approx(0.08), "untested")
    assert found.reason == "for 3 of 10 together p is 0.08, and can reach 0.08 at best"


@pytest.mark.parametrize(("n", "k"), [(5, 3), (8, 2), (6, 6)])
def test_the_level_is_alpha_where_one_prompt_less_than_needed_has_an_effect(n, k):
    """k − 1 prompts are as clear as can be, the others exchangeable with their 999 controls."""
    rng, n_runs, n_held = np.random.default_rng([n, k]), 3000, 0
    for _ in range(n_runs):
        null = rng.integers(1, 1001, size=n - k + 1) / 1000
        n_held += of_prompts([0.001] * (k - 1) + null.tolist(), k / n).outcome == "held"
    nominal = 1 - (1 - 0.05 / (n - k + 1)) ** (n - k + 1)
    assert nominal <= 0.05 + 1e-9
    spread = 4 * np.sqrt(nominal * (1 - nominal) / n_runs)
    assert n_held / n_runs == pytest.approx(nominal, abs=spread)
