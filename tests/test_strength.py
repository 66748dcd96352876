"""What a verdict needs to be confirmed: each thing taken away from a run that lacks nothing."""

import pytest

from tests.records import AWAY, change, make_confirmable
from tracer.evidence.context import JudgingContext
from tracer.evidence.judge import judge_run
from tracer.evidence.origin import of_origin, of_specificity
from tracer.evidence.strength import FEWEST_HELD_OUT, MOST_DIRECT, of_controls, of_held_out
from tracer.hypothesis.expectations.effect import LogitDiff
from tracer.hypothesis.procedure import put_in
from tracer.record.arrays import procedure_key

SWAP = "texas_to_california"


def lacking(record, arrays):
    verdict = judge_run(record, arrays)
    assert verdict.verdict == "consistent", verdict.reason
    assert not verdict.as_expected
    assert verdict.missing[0] in verdict.reason
    return verdict.missing


def redeclared(record, edit):
    """The record of a file that says something else."""
    data = record.hypothesis.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    edit(data)
    hypothesis = type(record.hypothesis).model_validate(data)
    return record.model_copy(update={"hypothesis": hypothesis, "registration": None})


def test_nothing_lacks():
    verdict = judge_run(*make_confirmable())
    assert (verdict.verdict, verdict.missing) == ("confirmed", ())


def test_a_set_chosen_toward_the_output_is_circular():
    record, arrays = make_confirmable()
    for name in ("texas", "california"):
        record = change(record, f"hypothesis.supernodes.{name}.select.by", "gradient")
    first, *_ = lacking(record, arrays)
    assert first.startswith("circular: ")
    assert "wrong donors" in first


def test_nobody_knows_how_a_list_of_features_was_chosen():
    record, arrays = make_confirmable()
    given = {"features": ["3_1"], "at": "city", "source": ["dallas"]}
    record = redeclared(record, lambda data: data["supernodes"].update(texas=given))
    assert any("texas is a list of features" in each for each in lacking(record, arrays))


def without_donors(record):
    """The record of a file that never asks about wrong donors."""

    def edit(data):
        expected = data["interventions"][SWAP]["expect"]
        data["interventions"][SWAP]["expect"] = [e for e in expected if "beats_procedure" not in e]

    return redeclared(record, edit)


def test_a_concept_that_is_put_in_needs_wrong_ones():
    record, arrays = make_confirmable()
    (found,) = lacking(without_donors(record), arrays)
    assert "california is put in" in found
    assert "' Sacramento' is theirs" in found


@pytest.mark.parametrize(("concepts", "is_shown"), [(4, True), (3, False)])
def test_a_swap_matrix_of_four_concepts_shows_whose_the_answer_is(concepts, is_shown):
    record, arrays = make_confirmable()
    of = {"california": ["oakland"], "texas": ["dallas"], "florida": ["miami"], "ny": ["utica"]}

    def edit(data):
        for name in ("florida", "ny"):
            data["supernodes"][name] = data["supernodes"]["california"]
        data["swaps"] = {"states": {"concepts": dict(list(of.items())[:concepts])}}

    record = redeclared(without_donors(record), edit)
    spec = record.hypothesis.interventions[SWAP]
    context = JudgingContext(record, arrays, record.hypothesis)
    lacks = list(of_specificity(context, SWAP, spec, spec.expect))
    assert (lacks == []) is is_shown
    other = [LogitDiff(logit_diff=(" Albany", " Austin"), rises_by=1)]
    assert list(of_specificity(context, SWAP, spec, other))


def test_a_donor_that_says_the_word_is_copied():
    record, arrays = make_confirmable()
    tokens = tuple(
        " sacramento" if t == " Oakland" else t for t in record.prompts["oakland"].tokens
    )
    record = change(record, "prompts.oakland.tokens", tokens)
    (found,) = lacking(record, arrays)
    assert "'sacramento' stands where california is taken from, in oakland" in found


def test_several_concepts_are_not_shown_by_the_wrong_donors_of_one():
    record, arrays = make_confirmable()

    def edit(data):
        data["supernodes"]["florida"] = {
            "select": {"on": ["miami", "tampa"], "against": ["dallas"], "at": "city", "top": 9,
                       "by": "activation"}}  # fmt: skip
        data["interventions"][SWAP]["clamp"] = {"texas": {"to": 0}, "california": 1, "florida": 1}

    spec = redeclared(record, edit).hypothesis
    assert put_in(spec, spec.interventions[SWAP]) == ("california",)
    record = redeclared(record, edit)
    florida = record.supernodes["california"].model_copy(update={"source": ("miami", "tampa")})
    record = change(record, "supernodes", record.supernodes | {"florida": florida})
    context = JudgingContext(record, arrays, record.hypothesis)
    (found,) = of_origin(context, SWAP, spec.interventions[SWAP], spec.interventions[SWAP].expect)
    assert found.startswith("one concept at a time")


def test_many_weak_wrong_answers_do_not_hide_a_strong_one():
    record, arrays = make_confirmable()
    names = {"strong": ("miami", "tampa")}
    others = [("tucson", "mesa"), ("utica", "yonkers"), ("salem", "bend")]
    for prompt, trial in record.interventions[SWAP].trials.items():
        made = tuple(
            each.model_copy(update={"on": names["strong"] if n > 95 else others[n % 3]})
            for n, each in enumerate(trial.procedure)
        )
        record = change(record, f"interventions.{SWAP}.trials.{prompt}.procedure", made)
        arrays[procedure_key(SWAP, prompt, "logits")][96:, 1] += 50
    (found,) = lacking(record, arrays)
    assert found.startswith("more than each wrong answer: donors of ' Tallahassee' do as much for")


@pytest.mark.parametrize(
    "weaken",
    [{"answer": " Austin"}, {"text": "On {city} we rest. The next day is"}],
    ids=["a recipient's answer", "other words"],
)
def test_wrong_answers_are_not_the_recipients_and_asked_for_in_the_same_words(weaken):
    record, arrays = make_confirmable()

    def edit(data):
        for name in ("miami", "tampa"):
            data["prompts"][name] |= weaken

    found = lacking(redeclared(record, edit), arrays)
    assert any(each.startswith("wrong donors of 4 answers at least") for each in found)


def test_a_set_of_another_run_is_a_list_of_features():
    record, arrays = make_confirmable()
    record = change(record, "supernodes.california.is_foreign", True)
    (found,) = lacking(record, arrays)
    assert found.startswith("circular: california was taken from another run")


def test_one_source_may_carry_its_own_identity():
    record, arrays = make_confirmable()
    record = redeclared(
        record, lambda data: data["supernodes"]["california"]["select"].update(on=["oakland"])
    )
    assert any("california was found on one" in each for each in lacking(record, arrays))


def test_sources_have_answers_too():
    record, arrays = make_confirmable()
    record = change(record, "supernodes.california.source", ("fresno",))
    record = redeclared(record, lambda data: data["prompts"]["fresno"].pop("answer"))
    record = change(record, "prompts.fresno.answer", None)
    assert any(
        "fresno, which features are taken from, has none" in x for x in lacking(record, arrays)
    )


def test_an_honest_comparison_does_not_cover_another_token():
    record, arrays = make_confirmable()
    spec = record.hypothesis.interventions["ablate_texas"]
    also = [LogitDiff(logit_diff=(" Sacramento", " Tallahassee"), rises_by=0)]
    context = JudgingContext(record, arrays, record.hypothesis)
    (found,) = of_controls(context, "ablate_texas", spec, [*spec.expect, *also])
    assert "nothing that ablate_texas says of ' Sacramento'" in found


def test_controls_in_range_are_none_for_a_clamp_beyond_it():
    record, arrays = make_confirmable()
    record = change(record, "hypothesis.controls.matched", "range")
    assert judge_run(record, arrays).verdict == "confirmed"
    for prompt, trial in record.interventions[SWAP].trials.items():
        clamps = tuple(each.model_copy(update={"n_out_of_range": 9}) for each in trial.clamps)
        record = change(record, f"interventions.{SWAP}.trials.{prompt}.clamps", clamps)
    (found,) = lacking(record, arrays)
    assert found.startswith("matched controls of its size")


def test_a_prompt_that_the_model_gets_wrong_is_no_held_out_one():
    record, arrays = make_confirmable()
    record = change(record, "prompts.waco.baseline", AWAY)
    context = JudgingContext(record, arrays, record.hypothesis)
    prompts = record.hypothesis.interventions[SWAP].prompts
    (found,) = of_held_out(context, SWAP, prompts, [], ["city"])
    assert (
        f"has 4 that depend on no other and that the model answers, and {FEWEST_HELD_OUT}" in found
    )


def test_one_city_in_other_words_is_one_city():
    record, arrays = make_confirmable()
    words = {"city": "Waco", "text": "A fact: the capital of the state containing {city} is"}
    record = redeclared(record, lambda data: data["prompts"]["laredo"].update(words))
    assert any("has 4 that depend on no other" in each for each in lacking(record, arrays))


def test_a_p_that_chance_reaches_is_none():
    record, arrays = make_confirmable()
    also = {"logit_diff": [" Sacramento", " Austin"], "beats_controls_across": 0.3}

    def edit(data):
        data["interventions"][SWAP]["expect"].append(also)

    (found,) = lacking(redeclared(record, edit), arrays)
    assert "a p of 0.05 at most" in found and "0.3" in found


def test_random_sets_must_be_beaten():
    record, arrays = make_confirmable()
    spec = record.hypothesis.interventions[SWAP]
    kept = tuple(each for each in spec.expect if not each.is_compared)
    record = change(record, f"hypothesis.interventions.{SWAP}.expect", kept)
    assert any(each.startswith("matched controls") for each in lacking(record, arrays))


def test_four_held_out_prompts_are_too_few():
    record, arrays = make_confirmable()
    record = change(record, "hypothesis.prompts.laredo.held_out", False)
    found = lacking(record, arrays)
    assert any(f"{FEWEST_HELD_OUT} are needed" in each for each in found)


def test_a_prompt_of_the_same_text_is_no_other_prompt():
    record, arrays = make_confirmable()
    twin = {"city": "\u200bWACO ", "answer": " Austin", "held_out": True}
    record = redeclared(record, lambda data: data["prompts"].update(laredo=twin))
    assert any("held-out prompts" in each for each in lacking(record, arrays))


def test_without_an_answer_nobody_knows_whether_the_model_can_do_it():
    record, arrays = make_confirmable()
    open_ = {"city": "Waco", "held_out": True}

    def edit(data):
        data["prompts"].update(waco=open_)
        for spec in data["interventions"].values():
            spec["expect"] = [e for e in spec["expect"] if "{answer}" not in str(e)]

    record = redeclared(record, edit)
    record = change(record, "prompts.waco.answer", None)
    assert any(each.startswith("answers") for each in lacking(record, arrays))


def test_a_set_that_is_most_of_its_place_is_none():
    record, arrays = make_confirmable()
    n = len(record.supernodes["california"].features)
    for name in ("texas", "california"):
        record = change(record, f"supernodes.{name}.widths", dict.fromkeys(range(3, 12), n // 3))
    assert any("patches the place" in each for each in lacking(record, arrays))


def test_an_effect_that_the_clamps_write_themselves():
    record, arrays = make_confirmable()
    for prompt, trial in record.interventions[SWAP].trials.items():
        path = f"interventions.{SWAP}.trials.{prompt}.direct"
        record = change(record, path, trial.reading)
    found = [each for each in lacking(record, arrays) if "writes the answer itself" in each]
    assert found and "100%" in found[0]
    assert MOST_DIRECT == 0.5


def test_a_direct_effect_that_was_not_measured():
    record, arrays = make_confirmable()
    for prompt in record.interventions[SWAP].trials:
        record = change(record, f"interventions.{SWAP}.trials.{prompt}.direct", None)
    assert any("was not measured" in each for each in lacking(record, arrays))


def test_an_edited_record_and_a_known_trial():
    record, arrays = make_confirmable()
    assert judge_run(record, arrays, is_edited=True).verdict == "consistent"
    record = change(record, "known_before", [f"{SWAP}/plano"])
    assert any("fixed before measuring" in each for each in lacking(record, arrays))


def of_procedure(verdict):
    return next(
        o for o in verdict.outcomes if "wrong donors" in o.expected and o.split != "discovery"
    )


def test_a_chosen_set_that_beats_wrong_donors_is_not_circular():
    verdict = judge_run(*make_confirmable(by="gradient"))
    assert of_procedure(verdict).outcome == "held", of_procedure(verdict).reason
    assert of_procedure(verdict).p == pytest.approx(1 / 100)
    assert not any(SWAP in each for each in verdict.missing)


@pytest.mark.parametrize("by", ["gradient", "activation"])
def test_a_rule_that_finds_as_much_on_wrong_donors_shows_the_rule(by):
    verdict = judge_run(*make_confirmable(by=by, wrong_rise=50))
    assert of_procedure(verdict).outcome == "failed"
    assert verdict.verdict == "refuted"


@pytest.mark.parametrize(("margin", "outcome"), [(0.01, "held"), (50, "vacuous")])
def test_a_margin_that_no_random_set_leaves_says_nothing(margin, outcome):
    record, arrays = make_confirmable()
    pair = [" Sacramento", " Austin"]
    for prompt in record.interventions[SWAP].trials:
        clean = record.prompts[prompt].baseline
        record = change(record, f"interventions.{SWAP}.trials.{prompt}.reading", clean)
    stays = {"logit_diff": pair, "within": margin}
    beats = {"logit_diff": pair, "beats_controls": 0.05}

    def edit(data):
        spec = data["interventions"][SWAP]
        spec["expect"] = [stays, beats]
        del spec["doses"]

    found = judge_run(redeclared(record, edit), arrays).outcomes
    told = [o.outcome for o in found if o.intervention == SWAP and "changes by" in o.expected]
    assert set(told) == {outcome}
