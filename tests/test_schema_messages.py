from __future__ import annotations

from pathlib import Path

import pytest
from declared import changed, mistakes

CASES = [
    (
        "two_hop\n",
        "two hop\n",
        1,
        "hypothesis",
        "'two hop' is no name: a name begins with a letter",
    ),
    (
        "claim: The capital goes through the state.",
        "claim:",
        2,
        "claim",
        "found nothing; text is expected.",
    ),
    ("claim: The capital goes through the state.", "claim: ''", 2, "claim", "it is empty"),
    (
        "claim:",
        "clam:",
        2,
        "clam",
        "unknown key 'clam'. Did you mean 'claim'? Allowed: 'hypothesis'",
    ),
    (
        "claim:",
        "expected: refute\nclaim:",
        2,
        "expected",
        "found 'refute'. Did you mean 'refuted'? Allowed: 'confirmed', 'consistent', 'refuted'.",
    ),
    ("claim:", "expected: no\nclaim:", 2, "expected", "found 'no'."),
    ("claim:", "seed: -1\nclaim:", 2, "seed", "found -1; 0 or more is expected."),
    ("claim:", "seed: 1.5\nclaim:", 2, "seed", "found 1.5; a whole number is expected."),
    ("claim:", "seed: '1'\nclaim:", 2, "seed", "found '1'; a whole number is expected."),
    ("claim:", "tags: x\nclaim:", 2, "tags", "found 'x'; a list is expected, [x]."),
    (
        "claim:",
        "model: 5\nclaim:",
        2,
        "model",
        "found 5; text is expected: put it in quotes, '5'. Or a mapping with 'name', 'revision'",
    ),
    (
        "claim:",
        "model: {name: me/x, dtype: float}\nclaim:",
        2,
        "model.dtype",
        "Did you mean 'float64'?",
    ),
    (
        "claim:",
        "model: {nam: x}\nclaim:",
        2,
        "model.nam",
        "unknown key 'nam'. Did you mean 'name'?",
    ),
    ("claim:", "model: {dtype: float32}\nclaim:", 2, "model", "the key 'name' is missing"),
    (
        "claim:",
        "controls: 5\nclaim:",
        2,
        "controls",
        "found 5; a mapping (key: value) is expected.",
    ),
    (
        "claim:",
        "controls: {random: 99999}\nclaim:",
        2,
        "controls.random",
        "found 99999; 9999 or less is expected.",
    ),
    ("{city: Dallas,", "{city: 5,", 5, "prompts.dallas.city", "put it in quotes, '5'"),
    (
        "held_out: true",
        "held_out: yes",
        7,
        "prompts.plano.held_out",
        "found 'yes'; true or false is expected.",
    ),
    ("  dallas:", "  5a: {text: x}\n  dallas:", 5, "prompts.5a", "'5a' is no name"),
    ("top: 40", "top: 0", 10, "supernodes.texas.select.top", "found 0; 1 or more is expected."),
    (
        "top: 40",
        "share: 1.5",
        10,
        "supernodes.texas.select.share",
        "found 1.5; 1 or less is expected.",
    ),
    (
        "on: [dallas]",
        "on: dallas",
        10,
        "supernodes.texas.select.on",
        "found 'dallas'; a list is expected, [dallas].",
    ),
    (
        "on: [dallas]",
        "on: []",
        10,
        "supernodes.texas.select.on",
        "found []; 1 or more entries are expected.",
    ),
    (
        "top: 40",
        "top: 40, toward: anwser",
        10,
        "supernodes.texas.select.toward",
        "found 'anwser'. Did you mean 'answer'? Allowed: 'answer'. Or a mapping with 'token'",
    ),
    (
        "top: 40",
        "top: 40, toward: {tokn: x}",
        10,
        "supernodes.texas.select.toward.tokn",
        "unknown key 'tokn'. Did you mean 'token'?",
    ),
    (
        "top: 40",
        "top: 40, layers: [1]",
        10,
        "supernodes.texas.select.layers",
        "found [1]; two items are expected",
    ),
    (
        "top: 40",
        "top: 40, layers: [1, 2, 3]",
        10,
        "supernodes.texas.select.layers",
        "2 entries at most",
    ),
    (
        "texas: 0,",
        "texas: x,",
        16,
        "interventions.swap.clamp.texas",
        "found 'x'; a number is expected. Or a mapping with 'times', 'to', 'add', 'from', 'at'",
    ),
    ("texas: 0,", "texas: true,", 16, "interventions.swap.clamp.texas", "found true; a number"),
    (
        "texas: 0,",
        "texas: .inf,",
        16,
        "interventions.swap.clamp.texas",
        "found inf; a finite number is expected.",
    ),
    (
        "texas: 0,",
        "texas: {time: 0},",
        16,
        "interventions.swap.clamp.texas.time",
        "Did you mean 'times'?",
    ),
    (
        "    expect:",
        "    freeze: al\n    expect:",
        17,
        "interventions.swap.freeze",
        "found 'al'. Did you mean 'all'? Allowed: 'none', 'attention', 'all'.",
    ),
    (
        "{top:",
        "{topp:",
        18,
        "interventions.swap.expect[0]",
        "it says nothing to measure: found 'topp'. Did you mean 'top'? One of these keys is needed",
    ),
    (
        "- {top:",
        "- {rank: x, top:",
        18,
        "interventions.swap.expect[0].rank",
        "'rank' cannot stand beside 'top'. Allowed beside it: 'mostly', 'fails', 'top'.",
    ),
    (
        "- {top:",
        "- {above: 1, top:",
        18,
        "interventions.swap.expect[0].above",
        "cannot stand beside",
    ),
    (
        '- {top: " Sacramento"}',
        "- Sacramento",
        18,
        "interventions.swap.expect[0]",
        "found 'Sacramento'; an expectation is a mapping.",
    ),
    ('"{answer}"]', "]", 19, "interventions.swap.expect[1].logit_diff", "two items are expected"),
    ("rises:", "rise:", 20, "interventions.swap.doses.expect[0]", "Did you mean 'rises'?"),
    (
        "{city: Dallas,",
        "{city: 02134,",
        5,
        "prompts.dallas.city",
        "found 02134; text is expected: put it in quotes, '02134'.",
    ),
    (
        "{city: Dallas,",
        "{city: null,",
        5,
        "prompts.dallas.city",
        "found null; text is expected: put it in quotes, 'null'.",
    ),
    (
        "{city: Dallas,",
        "{city: ,",
        5,
        "prompts.dallas.city",
        "found nothing; text is expected.",
    ),
    (
        "prompts: [dallas",
        "prompts: [1e3",
        15,
        "interventions.swap.prompts[0]",
        "found 1e3; text is expected: put it in quotes, '1e3'.",
    ),
    (
        "{city: Dallas,",
        "{city: True,",
        5,
        "prompts.dallas.city",
        "found True; text is expected: put it in quotes, 'True'.",
    ),
    (
        "held_out: true",
        "heldout: true",
        7,
        "prompts.plano.heldout",
        "put it in quotes, 'true'. Did you mean 'held_out'?",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "where", "sentence"), CASES)
def test_a_schema_mistake_is_one_sentence_at_its_line(
    tmp_path: Path, old: str, new: str, line: int, where: str, sentence: str
):
    found = mistakes(tmp_path, changed((old, new)))
    assert [(m.line, m.where) for m in found] == [(line, where)]
    assert sentence in found[0].message


def test_no_word_of_the_schema_library_reaches_the_user(tmp_path: Path):
    text = changed(*[(old, new) for old, new, *_ in CASES[6:7] + CASES[16:18] + CASES[26:27]])
    for mistake in mistakes(tmp_path, text):
        for jargon in (
            "Input should",
            "Extra inputs",
            "ModelSpec",
            "literal[",
            "tuple",
            "<",
            "str",
        ):
            assert jargon not in mistake.message + mistake.where


def test_what_is_missing_is_named(tmp_path: Path):
    found = mistakes(tmp_path, "claim: x\n")
    assert [m.message for m in found] == [
        *(f"the key {key!r} is missing" for key in ("hypothesis", "prompts")),
    ]


def test_a_template_among_the_prompts_is_told_its_place_and_nothing_else(tmp_path: Path):
    text = changed(("template: ", "# "), ("prompts:", 'prompts:\n  template: "state of {city} is"'))
    [mistake] = mistakes(tmp_path, text)
    assert mistake.line == 5
    assert "`template` stands at the top of the file" in mistake.message


def test_what_is_in_a_misspelt_section_is_not_missing(tmp_path: Path):
    """Only its name is told, and mistakes in it, at their lines."""
    [told] = mistakes(tmp_path, changed(("supernodes:", "supernode:")))
    assert (told.line, told.where) == (8, "supernode")
    assert "unknown key 'supernode'. Did you mean 'supernodes'?" in told.message
    text = changed(("supernodes:", "supernode:"), ("on: [dallas]", "on: [dalas]"))
    _, inside = mistakes(tmp_path, text)
    assert (inside.line, inside.where) == (10, "supernode.texas.select.on[0]")
    assert "no prompt 'dalas'. Did you mean 'dallas'?" in inside.message


def test_a_value_from_the_command_line_is_told_as_it_is(tmp_path: Path):
    [found] = mistakes(tmp_path, changed(), "prompts.dallas.city=5")
    assert "put it in quotes, '5'" in found.message
