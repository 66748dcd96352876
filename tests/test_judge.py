"""Judging: enough prompts, and the verdict in words."""

import pytest

from tests.judging import DIFF, HELD_OUT, SWAP, expecting, judged, only
from tests.records import (
    AWAY,
    change,
    clean_reading,
    make_confirmable,
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
