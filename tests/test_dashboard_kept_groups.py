"""Groups made by hand are a file that the loader takes, and come back from it as they were."""

from __future__ import annotations

from tests.records import change, make_record
from tracer.dashboard.intervene.draft import groups_of, keeping, kept_text
from tracer.hypothesis.load import check

GROUPS = {"mine": ("3_17_2", "4_9_1"), "yours": ("5_1_3",)}


def test_a_kept_group_is_a_supernode_of_explicit_ids_that_is_ablated():
    record, _ = make_record()
    text = kept_text(keeping(record, "dallas", GROUPS), record, "dallas", GROUPS)
    found = check("draft.yaml", text).hypothesis
    assert text.startswith("# mine, yours: grouped by hand in the graph of prompt dallas")
    assert found.supernodes["mine"].features == ("3_17_2", "4_9_1")
    made = found.interventions["ablate_mine"]
    assert made.prompts == ("dallas",)
    assert made.clamp == {"mine": 0.0}
    assert [each.model_dump(exclude_defaults=True) for each in made.expect] == [
        {"top_is_not": " Austin"}
    ]
    assert found.interventions.keys() - record.hypothesis.interventions.keys() == {
        "ablate_mine",
        "ablate_yours",
    }


def test_an_intervention_of_that_name_stays():
    record, _ = make_record()
    found = keeping(record, "dallas", {"texas2": ("3_17_2",)})
    again = keeping(change(record, "hypothesis", found), "dallas", {"texas2": ("3_17_2",)})
    assert {"ablate_texas2", "ablate_texas2_2"} <= again.interventions.keys()
    assert again.interventions["ablate_texas2"] == found.interventions["ablate_texas2"]


def test_they_come_back_as_far_as_the_graph_has_them():
    record, _ = make_record()
    found = keeping(record, "dallas", GROUPS)
    prompt = record.prompts["dallas"]
    assert groups_of(found, prompt, {"3_17_2", "4_9_1", "5_1_3"}) == GROUPS
    assert groups_of(found, prompt, {"3_17_2"}) == {"mine": ("3_17_2",)}
    assert groups_of(record.hypothesis, prompt, {"3_17_2"}) == {}


def test_what_sits_at_one_span_has_a_place_on_other_prompts_too():
    """The city is token 8 of nine, `last` token 9; on El Paso's prompt it ends on token 9."""
    record, _ = make_record()
    dallas, el_paso = record.prompts["dallas"], record.prompts["el_paso"]
    assert (dallas.spans["city"], dallas.spans["last"]) == ((8, 9), (9, 10))
    groups = {"state": ("3_17_8", "4_9_8"), "say": ("5_1_9",), "both": ("3_17_8", "5_1_9")}
    found = keeping(record, "dallas", groups)
    spec = found.supernodes["state"]
    assert (spec.features, spec.at, spec.source) == (("3_17", "4_9"), "city", ("dallas",))
    assert found.supernodes["say"].at == "last"
    assert found.supernodes["both"].features == groups["both"]
    text = kept_text(found, record, "dallas", groups)
    assert "# Bound to tokens of that prompt, not to a span: both.\n" in text
    everything = {each for ids in groups.values() for each in ids}
    assert groups_of(found, dallas, everything) == groups
    assert groups_of(found, el_paso, {"3_17_9"}) == {"state": ("3_17_9",)}
