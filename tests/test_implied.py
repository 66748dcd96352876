"""The hypotheses that `robustness` stands for: one choice otherwise in each, nothing else."""

from tests.records import HYPOTHESIS
from tracer.hypothesis.implied import measurable_variations, repeated, variations
from tracer.hypothesis.spec import Hypothesis

RULES = {
    "texas": {"select": {"on": ["dallas", "austin"], "against": ["oakland"], "top": 40}},
    "california": {"select": {"on": ["oakland"], "against": ["dallas", "austin"], "top": 20}},
    "all": {"select": {"on": ["dallas"], "share": 0.5}},
}


def make(**section):
    prompts = HYPOTHESIS["prompts"] | {"austin": {"city": "Austin", "answer": " Austin"}}
    return Hypothesis.model_validate(
        HYPOTHESIS
        | {"prompts": prompts, "supernodes": HYPOTHESIS["supernodes"] | RULES}
        | {"robustness": section}
    )


def dumped(hypothesis):
    return hypothesis.model_dump(mode="json", by_alias=True)


def differences(a, b, path=()):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from differences(a.get(key), b.get(key), (*path, key))
    elif a != b:
        yield ".".join(path), b


def changes(hypothesis, name):
    [found] = [each for each in variations(hypothesis) if each.name == name]
    return found, dict(differences(dumped(repeated(hypothesis)), dumped(found.hypothesis)))


def test_none_without_the_section():
    plain = Hypothesis.model_validate(HYPOTHESIS)
    assert variations(plain) == ()


def test_each_changes_one_thing():
    hypothesis = make(templates={"short": "{city}:"}, seeds=[7], sizes=[20], of=["texas"])
    assert [each.name for each in variations(hypothesis)] == ["template-short", "seed-7", "size-20"]
    assert changes(hypothesis, "template-short")[1] == {"template": "{city}:"}
    assert changes(hypothesis, "seed-7")[1] == {"seed": 7}
    assert changes(hypothesis, "size-20")[1] == {"supernodes.texas.select.top": 20}


def test_sizes_are_for_all_rules_with_top():
    found, changed = changes(make(sizes=[20]), "size-20")
    assert changed == {
        "supernodes.texas.select.top": 20,
        "supernodes.say_austin.select.top": 20,
    }
    assert "texas" in found.change
    assert found.hypothesis.supernodes["all"].select.top is None


def test_a_prompt_is_left_out_of_all_rules_that_keep_another():
    found, changed = changes(make(leave_one_out=True), "without-dallas")
    assert changed == {
        "supernodes.texas.select.on": ["austin"],
        "supernodes.california.select.against": ["austin"],
    }
    assert found.change.startswith("dallas left out of 'texas', 'california'")
    assert "would have none in its place" in found.change
    alone, changed = changes(make(leave_one_out=True), "without-oakland")
    assert changed == {}
    assert alone.skipped == "every rule that names it has no other prompt in its place"


def test_a_choice_already_made_is_none():
    hypothesis = make(seeds=[0, 1], sizes=[40], of=["texas"])
    assert [each.name for each in measurable_variations(hypothesis)] == ["seed-1"]


def test_only_what_is_asked_for_is_repeated():
    hypothesis = make(seeds=[1], interventions=["ablate_texas"])
    assert list(repeated(hypothesis).interventions) == ["ablate_texas"]
    assert repeated(hypothesis).robustness is None
