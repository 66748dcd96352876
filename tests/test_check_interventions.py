from __future__ import annotations

from pathlib import Path

import pytest
from declared import DIFF, DOSES, SWAP, TEXAS, TOP, accepted, assert_mistake, changed, mistakes

CASES = [
    (
        "california: 1}",
        "california: {times: 1, to: 2}}",
        "interventions.swap.clamp.california",
        "it has `times` and `to`; one of them says how much",
    ),
    (
        "california: 1}",
        "california: {to: 2, from: [oakland]}}",
        "interventions.swap.clamp.california.from",
        "it says nothing beside `to`",
    ),
    (
        "california: 1}",
        "california: {add: 2}}",
        "interventions.swap.clamp.california.add",
        "'california' has no `maxima` to add a multiple of",
    ),
    (
        "[dallas, plano]",
        "[dalas, plano]",
        "interventions.swap.prompts[0]",
        "Did you mean 'dallas'?",
    ),
    ("[dallas, plano]", "[plano, plano]", "interventions.swap.prompts[1]", "named twice"),
    (
        SWAP,
        SWAP[:-1] + ", texs: 0}",
        "interventions.swap.clamp.texs",
        "no supernode 'texs'. Did you mean 'texas'? Known: 'texas', 'california'.",
    ),
    (
        "california: 1}",
        "california: {from: [her]}}",
        "interventions.swap.clamp.california.from[0]",
        "no prompt 'her'. Did you mean 'here'?",
    ),
    (
        "california: 1}",
        "california: {at: cit}}",
        "interventions.swap.clamp.california.at",
        "on prompts 'dallas', 'plano': no span 'cit'. Did you mean 'city'?",
    ),
    (
        "of: california",
        "of: calif",
        "interventions.swap.doses.of",
        "no clamp 'calif'. Did you mean 'california'? Known: 'texas', 'california'.",
    ),
    (
        "factors: [0, 1, 2]",
        "factors: [0, 1, 1.0]",
        "interventions.swap.doses.factors[2]",
        "the dose 1 is given twice",
    ),
    (
        DIFF,
        DIFF.replace(", above: 1.0", ""),
        "interventions.swap.expect[1]",
        "it tests nothing: one of 'above', 'below', 'rises_by', 'falls_by', 'within', "
        "'beats_controls', 'undercuts_controls', 'beats_controls_across', "
        "'undercuts_controls_across', 'beats_procedure', 'undercuts_procedure' is expected",
    ),
    (
        DIFF,
        DIFF.replace("above: 1.0", "above: 1, below: 2"),
        "interventions.swap.expect[1]",
        "it has 2 tests, 'above', 'below'; one is expected",
    ),
    (
        DIFF,
        DIFF.replace("{answer}", " Sacramento"),
        "interventions.swap.expect[1].logit_diff",
        "both tokens are the same",
    ),
    (
        DIFF,
        DIFF.replace("{answer}", "{anwser}"),
        "interventions.swap.expect[1].logit_diff",
        "the variable {anwser} has no value. Did you mean 'answer'?",
    ),
    (
        DIFF,
        "{probability: x, above: 1.5}",
        "interventions.swap.expect[1].above",
        "found 1.5; a probability is from 0 to 1",
    ),
    (DIFF, "{probability: x, below: 0}", "interventions.swap.expect[1].below", "found 0;"),
    (DIFF, "{probability: x, rises_by: 2}", "interventions.swap.expect[1].rises_by", "found 2;"),
    (
        DIFF,
        "{supernode: texs, fraction_below: 1}",
        "interventions.swap.expect[1].supernode",
        "no supernode 'texs'. Did you mean 'texas'?",
    ),
    (DIFF, "{supernode: texas}", "interventions.swap.expect[1]", "one of 'fraction_above'"),
    (
        DIFF,
        "{supernode: texas, fraction_below: 1, fraction_above: 0}",
        "interventions.swap.expect[1]",
        "it has 2 tests",
    ),
]


@pytest.mark.parametrize(("old", "new", "where", "sentence"), CASES)
def test_a_mistake_is_told_at_its_place(
    tmp_path: Path, old: str, new: str, where: str, sentence: str
):
    assert_mistake(tmp_path, changed((old, new)), where, sentence)


def test_a_held_out_prompt_may_give_an_activation_since_no_set_is_chosen_on_it(tmp_path: Path):
    accepted(tmp_path, changed(("california: 1}", "california: {from: [here, plano]}}")))


def test_explicit_features_need_a_source_exactly_where_an_activation_is_multiplied(tmp_path: Path):
    bare = (TEXAS, "    features: [1_2, 3_4_5]")
    accepted(tmp_path, changed(bare))
    [mistake] = mistakes(tmp_path, changed(bare, ("texas: 0", "texas: -1")))
    assert mistake.where == "interventions.swap.clamp.texas"
    assert "write {times: …, from: [here]}" in mistake.message
    accepted(tmp_path, changed(bare, ("texas: 0", "texas: {from: [here]}")))
    of_source = "{supernode: texas, fraction_below: 1, of: source}"
    found = mistakes(tmp_path, changed(bare, (DIFF, of_source)))
    where = [f"interventions.swap.expect[1].{key}" for key in ("of", "supernode")]
    assert sorted(mistake.where for mistake in found) == where
    [mistake] = mistakes(tmp_path, changed(bare, ("of: california", "of: texas")))
    assert mistake.where == "interventions.swap.clamp.texas"


def test_a_clamp_that_adds_counts_in_the_maxima_of_its_features(tmp_path: Path):
    bare = (TEXAS, "    features: [1_2, 1_2_3, 3_4_5]\n    maxima: {'1_2': 7, '3_4': 8.5}")
    adds = ("texas: 0", "texas: {add: -2}")
    accepted(tmp_path, changed(bare, adds))
    [mistake] = mistakes(tmp_path, changed((bare[0], bare[1].replace(", '3_4': 8.5", "")), adds))
    assert mistake.where == "supernodes.texas.maxima"
    assert "no maximum is given for 3_4" in mistake.message
    [mistake] = mistakes(tmp_path, changed((bare[0], bare[1].replace("8.5", "8, '9_9': 1")), adds))
    assert mistake.where == "supernodes.texas.maxima.9_9"
    assert "no feature '9_9'" in mistake.message
    ruled = changed((TEXAS, TEXAS + "\n    maxima: {'1_2': 7}"))
    [mistake] = mistakes(tmp_path, ruled)
    assert "a rule may find any feature" in mistake.message


def test_controls_must_be_there_to_be_beaten_and_something_must_be_expected(tmp_path: Path):
    beats = DIFF.replace("above: 1.0", "beats_controls: 0.05")
    [mistake] = mistakes(tmp_path, changed((DIFF, beats)) + "controls: {random: 0}\n")
    assert mistake.where == "interventions.swap.expect[1].beats_controls"
    assert "`controls.random` is 0" in mistake.message
    silent = changed(
        ("    expect:\n", ""), (TOP + "\n", ""), (f"      - {DIFF}\n", ""), (DOSES, "")
    )
    [mistake] = mistakes(tmp_path, silent)
    assert (mistake.where, mistake.line) == ("interventions.swap", 14)
    assert "it expects nothing" in mistake.message
