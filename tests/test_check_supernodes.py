from __future__ import annotations

from pathlib import Path

import pytest
from declared import DALLAS, SWAP, TEXAS, assert_mistake, changed, mistakes
from records import HYPOTHESIS, make_record

from tracer.errors import HypothesisError
from tracer.hypothesis.load import from_hypothesis
from tracer.record.record import Record

CASES = [
    (TEXAS, "    label: x", "supernodes.texas", "it has no features: give it a rule, `select`"),
    (
        TEXAS,
        TEXAS + "\n    features: [1_2]",
        "supernodes.texas",
        "it has both `select` and `features`",
    ),
    (TEXAS, TEXAS + "\n    at: city", "supernodes.texas.at", "write `at` inside `select`"),
    (TEXAS, TEXAS.replace(", top: 40", ""), "supernodes.texas.select", "neither `top` nor `share`"),
    (
        TEXAS,
        TEXAS.replace("top: 40", "top: 4, share: 0.5"),
        "supernodes.texas.select",
        "both `top` and `share`",
    ),
    (
        TEXAS,
        TEXAS.replace("dallas", "dalas"),
        "supernodes.texas.select.on[0]",
        "no prompt 'dalas'. Did you mean 'dallas'? Known: 'dallas', 'oakland', 'plano'.",
    ),
    (
        TEXAS,
        TEXAS.replace("[dallas]", "[dallas, dallas]"),
        "supernodes.texas.select.on[1]",
        "the prompt 'dallas' is named twice",
    ),
    (
        TEXAS,
        TEXAS.replace("[dallas]", "[plano]"),
        "supernodes.texas.select.on[0]",
        "the prompt 'plano' is held out, so it may not be a source",
    ),
    (
        TEXAS,
        TEXAS.replace("[oakland]", "[plano]"),
        "supernodes.texas.select.against[0]",
        "may not be a contrast",
    ),
    (
        TEXAS,
        TEXAS.replace("[oakland]", "[dallas]"),
        "supernodes.texas.select.against[0]",
        "the prompt 'dallas' is also in `on`",
    ),
    (TEXAS, TEXAS + "\n    source: [plano]", "supernodes.texas.source[0]", "held out"),
    (TEXAS, "    heads: []", "supernodes.texas.heads", "one head or more is expected"),
    (
        TEXAS,
        '    heads: ["9_1"]',
        "supernodes.texas.heads[0]",
        "'9_1' is no head: write 'layer.head', both from 0, e.g. '9.1'",
    ),
    (
        TEXAS,
        '    heads: ["9.1", "09.1"]',
        "supernodes.texas.heads[1]",
        "the head '09.1' is named twice",
    ),
    (
        TEXAS,
        TEXAS.replace("{on", "{unit: heads, by: activation, on"),
        "supernodes.texas.select.by",
        "found 'activation'; heads are found by 'gradient', 'half'",
    ),
    (TEXAS, TEXAS + "\n    source: []", "supernodes.texas.source", "the list is empty"),
    (
        TEXAS,
        TEXAS.replace("city", "cty"),
        "supernodes.texas.select.at",
        "on prompts 'dallas', 'oakland': no span 'cty'. Did you mean 'city'? Known: 'last'",
    ),
    (
        TEXAS,
        TEXAS.replace("top", "layers: [3, 1], top"),
        "supernodes.texas.select.layers",
        "found [3, 1]; the first and the last layer are expected",
    ),
    (
        TEXAS,
        TEXAS.replace("top", "toward: {token: ' {citty}'}, top"),
        "supernodes.texas.select.toward",
        "on prompt 'dallas': the variable {citty} has no value. Did you mean 'city'?",
    ),
    (
        TEXAS,
        TEXAS.replace("top", "toward: {token: '}'}, top"),
        "supernodes.texas.select.toward",
        "'}' at character 1 is no variable",
    ),
    (
        TEXAS,
        "    features: [1_2, a_b]\n    source: [dallas]",
        "supernodes.texas.features[1]",
        "'a_b' is no feature id: write 'layer_index'",
    ),
    (
        TEXAS,
        "    features: [1_2, 1_2]\n    source: [dallas]",
        "supernodes.texas.features[1]",
        "the feature '1_2' is named twice",
    ),
    (
        TEXAS,
        "    features: [1_2_3, 01_2_03]\n    source: [dallas]",
        "supernodes.texas.features[1]",
        "the feature '01_2_03' is named twice",
    ),
    (
        TEXAS,
        "    features: []\n    source: [dallas]",
        "supernodes.texas.features",
        "the list is empty",
    ),
    (
        TEXAS,
        "    features: [1_2_3]\n    at: city\n    source: [dallas]",
        "supernodes.texas.at",
        "it says nothing: every feature has a position of its own",
    ),
    ("{texas: 0, ", "{", "supernodes.texas", "nobody uses this supernode"),
]


@pytest.mark.parametrize(("old", "new", "where", "sentence"), CASES)
def test_a_mistake_is_told_at_its_place(
    tmp_path: Path, old: str, new: str, where: str, sentence: str
):
    assert_mistake(tmp_path, changed((old, new)), where, sentence)


def test_heads_are_set_to_multiples_and_named_where_heads_can_be(tmp_path: Path):
    text = changed(
        (TEXAS, TEXAS.replace("{on", "{unit: heads, on")), (SWAP, SWAP.replace("0", "{to: 2}"))
    )
    text += "graph:\n  prompts: [dallas]\n  expect:\n"
    text += "    - {edge: {from: texas, to: output, above: 0}}\n"
    text += "circuit:\n  c:\n    supernodes: [texas]\n    prompts: [dallas]\n"
    text += "    reference: [oakland, plano]\n    expect: [{faithfulness: {above: 0.3}}]\n"
    found = {mistake.where: mistake.message for mistake in mistakes(tmp_path, text)}
    assert (
        "'texas' holds heads, whose activation is a vector"
        in found["interventions.swap.clamp.texas.to"]
    )
    assert found["graph.expect[0].edge.from"] == (
        "the supernode 'texas' holds heads; an attribution graph is of features alone"
    )
    assert found["circuit.c.supernodes[0]"] == (
        "the supernode 'texas' holds heads; a circuit is scored over features alone"
    )


def test_a_direction_toward_the_answer_needs_answers(tmp_path: Path):
    text = changed((DALLAS, "  dallas: {city: Dallas}"), ("{answer}", " Austin"))
    [mistake] = mistakes(tmp_path, text)
    assert mistake.where == "supernodes.texas.select.toward"
    assert "`answer` has no meaning on prompt 'dallas'" in mistake.message


def test_a_variable_that_occurs_twice_is_no_place(tmp_path: Path):
    text = changed(("state containing {city} is", "state of {city}, {city}, is"))
    found = mistakes(tmp_path, text)
    assert [m.where for m in found] == [
        f"supernodes.{n}.select.at" for n in ("texas", "california")
    ]
    assert "the variable {city} occurs more than once" in found[0].message


def test_what_a_record_holds_is_sound_though_it_writes_defaults_out():
    """Every try of a run whose sets are chosen by activation was refused for a `toward` of ours."""
    rule = {"by": "activation", "on": ["dallas"], "against": ["oakland"], "at": "city", "top": 4}
    record, _ = make_record(
        hypothesis={"supernodes": HYPOTHESIS["supernodes"] | {"texas": {"select": rule}}}
    )
    again = Record.model_validate_json(record.model_dump_json(by_alias=True))
    assert "toward" in again.hypothesis.supernodes["texas"].select.model_fields_set
    from_hypothesis(again.hypothesis)
    blind = rule | {"toward": {"token": " Austin"}}
    with pytest.raises(HypothesisError, match="a rule never looks at the output"):
        from_hypothesis(
            make_record(
                hypothesis={"supernodes": HYPOTHESIS["supernodes"] | {"texas": {"select": blind}}}
            )[0].hypothesis
        )
