"""Which rules the procedure-matched controls of an intervention are."""

from tests.records import DONORS, HYPOTHESIS
from tracer.hypothesis.procedure import procedure_sets, wrong_donors
from tracer.hypothesis.spec import Hypothesis

SWAP = "texas_to_california"


def made(donors, answers=(), **rule):
    """The sets of a swap that puts in what this rule finds on Oakland, by family."""
    cities = {name: {"city": name, "answer": answer} for name, answer in DONORS.items()}
    select = {"on": ["oakland"], "against": ["dallas"], "at": "city", "top": 40} | rule
    beats = {"logit_diff": [" Sacramento", " Austin"], "beats_procedure": 0.05}
    file = Hypothesis.model_validate(
        HYPOTHESIS
        | {
            "prompts": HYPOTHESIS["prompts"] | cities,
            "supernodes": HYPOTHESIS["supernodes"] | {"california": {"select": select}},
            "interventions": {
                SWAP: HYPOTHESIS["interventions"][SWAP] | {"expect": [beats], "doses": None}
            },
            "controls": {"random": 99, "donors": list(donors), "answers": list(answers)},
        }
    )
    sets = procedure_sets(file, SWAP, file.interventions[SWAP])
    return {
        family: [each for each in sets if each.family == family]
        for family in ("donors", "shuffled", "answers")
    }


def test_lists_of_one_answer_as_long_as_on():
    pairs = made(DONORS, by="activation", on=["oakland", "miami"])["donors"]
    assert {each.rule.on for each in pairs} == {
        ("tucson", "mesa"), ("utica", "yonkers"), ("salem", "bend"),
    }  # fmt: skip


def test_toward_the_claimed_answer_and_not_toward_the_donors_own():
    sets = made(DONORS)
    assert {each.rule.toward.token for each in sets["donors"]} == {" Sacramento"}
    assert {each.rule.against for each in sets["donors"]} == {("dallas",)}


def test_where_donors_stand_in_the_contrast_the_rules_own_prompts_take_their_place():
    against = ["dallas", "miami", "tampa", "tucson"]
    sets = made(DONORS, by="activation", against=against)["donors"]
    found = {each.rule.on: set(each.rule.against) for each in sets}
    assert found["miami",] == found["tampa",] == {"dallas", "tucson", "oakland"}
    assert found["mesa",] == {"dallas", "miami", "tampa", "oakland"}
    assert found["salem",] == set(against)


def test_of_several_contrasts_that_of_the_donors_is_exchanged():
    groups = [["dallas"], ["miami", "tampa"]]
    sets = made(["miami", "salem"], by="activation", against=[], against_each=groups)["donors"]
    found = {each.rule.on: each.rule.against_each for each in sets}
    assert found == {
        ("miami",): (("dallas",), ("oakland",)),
        ("salem",): (("dallas",), ("miami", "tampa")),
    }


def test_donors_of_the_claimed_answer_are_not_wrong():
    cities = HYPOTHESIS["prompts"] | {"fresno": {"city": "Fresno", "answer": " Sacramento"}}
    nodes = {"california": HYPOTHESIS["supernodes"]["california"]}
    file = Hypothesis.model_validate(
        HYPOTHESIS
        | {
            "prompts": cities,
            "supernodes": nodes,
            "interventions": {},
            "controls": {"donors": ["fresno", "dallas"]},
        }
    )
    select = file.supernodes["california"].select
    assert wrong_donors(file, select) == {" Austin": ["dallas"]}


def test_every_other_division_of_the_rules_own_prompts():
    on, against = ["oakland", "miami"], ["dallas", "tucson"]
    sets = made(DONORS, by="activation", on=on, against=against)["shuffled"]
    assert len(sets) == 5
    assert all(set(each.rule.on) | set(each.rule.against) == {
        "oakland", "miami", "dallas", "tucson"} for each in sets)  # fmt: skip


def test_other_answers_only_of_rules_that_go_toward_one():
    answers = [" Albany", " Sacramento"]
    assert [each.answer for each in made(DONORS, answers)["answers"]] == [" Albany"]
    assert made(DONORS, answers, by="activation")["answers"] == []
