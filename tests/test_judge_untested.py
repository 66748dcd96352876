"""What cannot be tested, and why: baselines, measurements that failed, NaN, silence."""

import math

from tests.judging import DIFF, SWAP, expecting, judged, only
from tests.records import AWAY, change, clean_reading, make_reading, make_record
from tracer.evidence.judge import judge_run

NOT_AUSTIN = "baseline: model says ' Tallahassee' (0.31), not ' Austin'"


def test_a_prompt_whose_baseline_fails_is_untested_never_failed():
    every = [
        {"top": " Austin"},
        {"logit_diff": DIFF, "above": 99},
        {"supernode": "say_austin", "fraction_below": 0.0},
        {"logit_diff": DIFF, "undercuts_controls": 0.01},
    ]
    verdict = judged(*every, baselines={"plano": AWAY}, prompts=["plano"])
    assert {o.outcome for o in verdict.outcomes} == {"untested"}
    assert {o.reason for o in verdict.outcomes} == {NOT_AUSTIN}
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == f"4 of 4 expectations could not be tested: {NOT_AUSTIN}"


def test_other_prompts_are_judged_where_one_baseline_fails():
    verdict = judge_run(*make_record(baselines={"plano": AWAY}))
    top = next(o for o in verdict.outcomes if o.split == "held out")
    assert (top.n_held, top.n_failed, top.n_untested, top.needed) == (2, 0, 1, 3)
    assert top.reason == f"1 of 3 prompts untested: {NOT_AUSTIN} (plano)"
    assert top.wilson is not None
    assert verdict.verdict == "inconclusive"


def test_a_source_prompt_whose_baseline_fails_leaves_its_clamps_untested():
    verdict = judge_run(*make_record(baselines={"oakland": AWAY}))
    by = {(o.intervention, o.split): o.outcome for o in verdict.outcomes}
    assert by[("ablate_texas", "held out")] == "held"
    assert by[(SWAP, "held out")] == "untested"
    reason = next(o.reason for o in verdict.outcomes if o.intervention == SWAP)
    assert reason == (
        "baseline: model says ' Tallahassee' (0.31), not ' Sacramento' on oakland, "
        "a source of california"
    )


def test_a_discovery_prompt_whose_baseline_fails_spoils_what_was_found_on_it():
    verdict = judge_run(*make_record(baselines={"dallas": AWAY}))
    assert {o.outcome for o in verdict.outcomes} == {"untested"}
    assert "a source of texas" in verdict.outcomes[1].reason


def test_a_prompt_without_an_answer_has_no_baseline_to_fail():
    prompts = {
        "dallas": {"city": "Dallas"},
        "oakland": {"city": "Oakland", "answer": " Sacramento"},
    }
    away = {"dallas": AWAY}
    verdict = judged({"top": " Sacramento"}, baselines=away, prompts=["dallas"])
    assert only(verdict).outcome == "untested"
    keys = expecting({"top": " Sacramento"}, prompts=["dallas"]) | {"prompts": prompts}
    record, arrays = make_record(hypothesis=keys, baselines=away)
    assert only(judge_run(record, arrays)).outcome == "held"


def test_a_baseline_is_compared_by_id_not_by_look():
    twin = clean_reading("plano")
    double = twin.top[0].model_copy(update={"id": 7})
    twin = twin.model_copy(update={"top": (double, *twin.top[1:])})
    outcome = only(judged({"top": " Sacramento"}, baselines={"plano": twin}, prompts=["plano"]))
    assert outcome.outcome == "untested"


def test_a_trial_that_could_not_be_measured_is_untested_with_its_problem():
    bend = {f"interventions.{SWAP}.trials.dallas.problem": "no feature has a place on this prompt"}
    assert only(judged({"top": " Austin"}, bend=bend)).reason == (
        "no feature has a place on this prompt"
    )


def nan_in(reading):
    broken = reading.tokens[" Austin"].model_copy(update={"logit": math.nan})
    return reading.model_copy(update={"tokens": {**reading.tokens, " Austin": broken}})


def test_nan_in_the_output_is_untested():
    record, arrays = make_record()
    where = f"interventions.{SWAP}.trials.dallas.reading"
    broken = change(record, where, nan_in(make_reading(Sacramento=0.4, Austin=0.1)))
    verdict = judge_run(broken, arrays)
    assert {o.reason for o in verdict.outcomes if o.outcome == "untested"} == {
        "the logits hold NaN"
    }
    base = change(record, "prompts.plano.baseline", nan_in(clean_reading("plano")))
    reasons = {o.reason for o in judge_run(base, arrays).outcomes if o.outcome == "untested"}
    assert reasons == {"1 of 3 prompts untested: baseline: the logits hold NaN (plano)"}


def test_nan_elsewhere_is_untested_only_where_it_is_read():
    record, arrays = make_record()
    arrays[f"controls/{SWAP}/dallas/logits"][3, 0] = math.nan
    trial = f"interventions.{SWAP}.trials.dallas"
    doses = record.interventions[SWAP].trials["dallas"].doses
    first = doses[0].model_copy(update={"reading": nan_in(doses[0].reading)})
    record = change(record, f"{trial}.doses", (first, *doses[1:]))
    gone = "interventions.ablate_texas.trials.dallas.supernodes.say_austin.of_clean"
    record = change(record, gone, math.nan)
    reasons = [o.reason for o in judge_run(record, arrays).outcomes if o.outcome == "untested"]
    assert reasons == [
        "the activations of say_austin hold NaN",
        "the logits of its controls hold NaN",
        "the logits hold NaN at one of the doses",
    ]


def test_a_silent_supernode_is_untested():
    fraction = {"supernode": "say_austin", "fraction_below": 0.6}
    where = f"interventions.{SWAP}.trials.dallas.supernodes"
    bend = {f"{where}.say_austin.of_clean": None}
    assert only(judged(fraction, bend=bend)).reason == (
        "no active feature: say_austin is silent on this prompt unclamped"
    )
    assert only(judged(fraction, bend={where: {}})).reason == (
        "say_austin has no place on this prompt"
    )
