"""Judging: each measure, enough prompts, and the verdict in words."""

import math

import numpy as np
import pytest

from tests.judging import DIFF, HELD_OUT, SWAP, expecting, judged, only
from tests.records import (
    AWAY,
    LOGSUMEXP,
    change,
    clean_reading,
    make_confirmable,
    make_reading,
    make_record,
)
from tracer.errors import UsageError
from tracer.evidence import context
from tracer.evidence.context import word
from tracer.evidence.judge import judge_run
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff
from tracer.hypothesis.expectations.top import TopIs
from tracer.hypothesis.spec import Hypothesis
from tracer.record.testable import trial_problem


def test_all_held_is_confirmed_and_says_what_the_model_says():
    verdict = judge_run(*make_confirmable())
    assert (verdict.verdict, verdict.missing) == ("confirmed", ())
    assert bool(verdict) is True
    assert verdict.reason == (
        "all 8 expectations held: with texas ×0, california ×1 the model says ' Sacramento' on "
        "1 of 1 discovery and 5 of 5 held-out prompts"
    )
    assert len(verdict.outcomes) == 16
    assert [o.split for o in verdict.outcomes] == ["discovery", "held out"] * 8
    assert all(o.outcome == "held" for o in verdict.outcomes)
    assert verdict.post_hoc == ()


def test_all_held_without_the_evidence_is_consistent_and_says_what_is_missing():
    verdict = judge_run(*make_record())
    assert (verdict.verdict, bool(verdict)) == ("consistent", True)
    assert all(o.outcome == "held" for o in verdict.outcomes)
    assert verdict.reason == (
        "all 6 expectations held: with texas ×0, california ×1 the model says ' Sacramento' on "
        "1 of 1 discovery and 3 of 3 held-out prompts; not confirmed for lack of "
        f"{verdict.missing[0]} (and 6 more)"
    )
    toward = "chosen toward an output, and {} is not held against the same rule on wrong donors"
    begins = (
        f"circular: texas was {toward.format('ablate_texas')}",
        f"circular: texas, california were {toward.format('texas_to_california')}",
        "2 source prompts at least: texas was found on one",
        "matched controls: no expectation of ablate_texas compares with them",
        "held-out prompts: ablate_texas has 3 that depend on no other and that the model answers",
        "2 source prompts at least: texas, california were found on one each",
        "held-out prompts: texas_to_california has 3 that depend on no other and that the model",
    )
    assert len(verdict.missing) == len(begins)
    for clause, begin in zip(verdict.missing, begins, strict=True):
        assert clause.startswith(begin)


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


@pytest.mark.parametrize(
    ("mostly", "n_failing", "n_untested", "needed", "outcome"),
    [
        (1.0, 0, 0, 3, "held"),
        (1.0, 1, 0, 3, "failed"),
        (1.0, 0, 1, 3, "untested"),
        (1.0, 1, 1, 3, "failed"),
        (2 / 3, 1, 0, 2, "held"),
        (2 / 3, 0, 1, 2, "held"),
        (2 / 3, 1, 1, 2, "untested"),
        (2 / 3, 2, 0, 2, "failed"),
        (0.34, 1, 0, 2, "held"),
        (0.33, 2, 1, 1, "untested"),
        (0.33, 3, 0, 1, "failed"),
    ],
)
def test_most_prompts_are_enough_where_the_file_says_so(
    mostly, n_failing, n_untested, needed, outcome
):
    failing = HELD_OUT[:n_failing]
    away = HELD_OUT[n_failing : n_failing + n_untested]
    found = only(
        judged(
            {"top": " Sacramento", "mostly": mostly},
            prompts=HELD_OUT,
            clamped={(SWAP, name): clean_reading(name) for name in failing},
            baselines={name: AWAY for name in away},
        )
    )
    assert (found.needed, found.outcome) == (needed, outcome)
    assert (found.n_failed, found.n_untested) == (n_failing, n_untested)
    assert found.expected == f"' Sacramento' on {needed} of 3 prompts"


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


def test_failing_prompts_are_quoted():
    verdict = judge_run(*make_record(clamped={(SWAP, "plano"): clean_reading("plano")}))
    top = next(o for o in verdict.outcomes if o.outcome == "failed")
    assert top.observed == "2 of 3 (plano: ' Austin' 0.47 (from ' Austin' 0.47))"
    assert verdict.reason == (
        "3 of 6 expectations failed: with texas ×0, california ×1 the model says ' Sacramento' on "
        "1 of 1 (1 needed) discovery and 2 of 3 (3 needed) held-out prompts"
    )


def test_tokens_that_read_differently_on_each_prompt_stay_as_written():
    outcome = only(judged({"top_is_not": "{answer}"}, prompts=["plano", "lubbock"]))
    assert outcome.expected == "not ' Austin' on 2 of 2 prompts"
    record, arrays = make_record(hypothesis=expecting({"top_is_not": " {city}"}, prompts=HELD_OUT))
    with pytest.raises(UsageError, match="the token ' Plano' was not read on plano"):
        judge_run(record, arrays)


def test_an_unfinished_run_concludes_nothing():
    record, arrays = make_record(clamped={(SWAP, "dallas"): clean_reading("dallas")})
    record = change(record, "status", "measuring")
    trials = record.interventions[SWAP].trials
    record = change(record, f"interventions.{SWAP}.trials", {"dallas": trials["dallas"]})
    verdict = judge_run(record, arrays)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason.startswith("the run is incomplete: 5 of 8 trials measured")
    assert verdict.outcomes[-1].reason.startswith("3 of 3 prompts untested: it was not measured")
    nothing = judge_run(change(record, "interventions", {}), {})
    assert {o.outcome for o in nothing.outcomes} == {"untested"}


def test_arrays_that_do_not_fit_are_refused():
    record, arrays = make_record()
    del arrays[f"controls/{SWAP}/dallas/logits"]
    with pytest.raises(UsageError, match="'controls/.*/dallas/logits' is missing"):
        judge_run(record, arrays)


def test_a_negative_result_that_comes_out_is_as_expected():
    verdict = judged({"top": " Austin"}, expected="refuted")
    assert (verdict.verdict, verdict.expected, bool(verdict)) == ("refuted", "refuted", True)
    assert "the file expects to be refuted: it states a negative result" in verdict.caveats


def test_the_same_measurements_give_the_same_verdict():
    assert judge_run(*make_record()) == judge_run(*make_record())
    assert isinstance(make_record()[0].hypothesis, Hypothesis)


def test_a_reason_names_the_variable_of_each_prompt_not_its_braces():
    record, arrays = make_record()
    judged = record.hypothesis
    swap = judged.interventions["texas_to_california"]
    own = swap.model_copy(update={"expect": (TopIs(top="{answer}"),), "doses": None})
    changed = judged.model_copy(update={"interventions": {"texas_to_california": own}})
    reason = judge_run(record, arrays, hypothesis=changed).reason
    assert "{" not in reason
    assert "the model says ' Austin' on" in reason


def test_what_differs_from_prompt_to_prompt_is_named_without_braces():
    record, _ = make_record()
    asked, spec = record.hypothesis, record.hypothesis.interventions["texas_to_california"]

    def said(expectation: Expectation, *prompts: str) -> tuple[str, str]:
        found = word(asked, expectation, spec, prompts)
        return found.measure, found.test

    top, same = TopIs(top="{answer}"), LogitDiff(logit_diff=("{answer}", " Austin"), above=0)
    assert said(top, "dallas", "plano") == ("top token", "' Austin'")
    assert said(top, "dallas", "oakland") == ("top token", "own answer")
    assert said(same, "dallas", "oakland")[0] == "logit(own answer) − logit(' Austin')"


def test_what_a_trial_is_like_is_found_out_once_for_all_expectations(monkeypatch):
    asked = []

    def problem(record, trial):
        asked.append(trial.prompt)
        return trial_problem(record, trial)

    monkeypatch.setattr(context, "trial_problem", problem)
    tests = [{"logit_diff": DIFF, "above": float(n)} for n in range(50)]
    verdict = judged(*tests, prompts=("dallas", *HELD_OUT))
    assert len(verdict.outcomes) == 100
    assert sorted(asked) == sorted(("dallas", *HELD_OUT))
