"""What only judges is nowhere chosen on, under whatever name."""

import json

import pytest

from tests.bench import TINY
from tests.declared import DALLAS, GOOD, PLANO, accepted, assert_mistake, changed, mistakes
from tests.records import HYPOTHESIS
from tracer.hypothesis.held_out import group_of, leaks, n_independent, near_twins, plain, spans_of
from tracer.hypothesis.spec import Hypothesis

SAME = "it is held out, and the discovery prompt 'dallas' has the same text"
NECESSITY = """\
necessity:
  needed:
    prompts: [dallas]
    ablate: [texas]
    kinds: [zero, mean]
    reference: [plano]
    expect: [{top_is_not: " Austin"}]
"""
CIRCUIT = """\
circuit:
  c:
    supernodes: [texas]
    prompts: [dallas]
    reference: [oakland, plano]
    expect: [{faithfulness: {above: 0.3}}]
"""


@pytest.mark.parametrize(
    "plano",
    [
        '  plano: {city: Dallas, answer: " Austin", held_out: true}',
        '  plano: {city: "  Dallas", answer: " Austin", held_out: true}',
        '  plano: {text: "The capital of the state containing {town} is", town: Dallas, '
        'answer: " Austin", spans: {city: Dallas}, held_out: true}',
    ],
)
def test_one_text_on_both_sides_is_a_mistake_with_its_line(tmp_path, plano):
    text = changed((PLANO, plano))
    assert_mistake(tmp_path, text, "prompts.plano", SAME)
    [found] = [m for m in mistakes(tmp_path, text) if m.where == "prompts.plano"]
    assert found.line == GOOD.splitlines().index(PLANO) + 1


def test_chat_prompts_are_compared_turn_by_turn(tmp_path):
    turn = "{{role: {}, content: 'In {{city}}'}}"
    chat = "  {}: {{messages: [" + turn + "], city: Dallas, answer: ' Austin'{}}}"
    dallas = chat.format("dallas", "user", "")
    plano = chat.format("plano", "user", ", held_out: true")
    assert_mistake(tmp_path, changed((DALLAS, dallas), (PLANO, plano)), "prompts.plano", SAME)
    other = chat.format("plano", "assistant", ", held_out: true")
    accepted(tmp_path, changed((DALLAS, dallas), (PLANO, other)))


@pytest.mark.parametrize(
    ("section", "where", "what"),
    [
        (NECESSITY, "necessity.needed.reference[0]", "a reference"),
        (CIRCUIT, "circuit.c.reference[1]", "a reference"),
    ],
)
def test_no_reference_is_held_out(tmp_path, section, where, what):
    sentence = f"the prompt 'plano' is held out, so it may not be {what}"
    assert_mistake(tmp_path, GOOD + section, where, sentence)


def tiny(**prompts):
    return Hypothesis.model_validate(TINY | {"prompts": prompts})


def test_a_lock_found_on_what_is_held_out_now_is_a_leak():
    before = tiny(dallas={"city": "Dallas"}, oakland={"city": "Oakland"}, plano={"city": "Plano"})
    other_name = tiny(
        dallas={"city": "Waco"},
        oakland={"city": "Fresno"},
        plano={"city": "Dallas", "held_out": True},
    )
    assert leaks(before, other_name) == ("plano",)
    kept = tiny(
        dallas={"city": "Dallas"},
        oakland={"city": "Oakland"},
        plano={"city": "Plano", "held_out": True},
    )
    assert leaks(before, kept) == ()


def test_prompts_of_one_text_depend_on_each_other():
    data = json.loads(json.dumps(HYPOTHESIS))
    data["prompts"]["again"] = data["prompts"]["plano"]
    hypothesis = Hypothesis.model_validate(data)
    assert group_of(hypothesis, "again") == group_of(hypothesis, "plano")
    assert group_of(hypothesis, "again") != group_of(hypothesis, "lubbock")


@pytest.mark.parametrize(
    ("text", "is_near"),
    [
        ("The capital of Texas, is", True),
        ("The capitals of Texas is", True),
        ("The capita of Texas is", True),
        ("The capital of Taxas is", True),
        ("The capital of Alaska is", False),
        ("The capital of the Texas is", False),
    ],
)
def test_a_held_out_text_that_is_nearly_a_discovery_text(text, is_near):
    hypothesis = Hypothesis.model_validate(
        {
            "hypothesis": "x",
            "claim": "x",
            "prompts": {
                "one": {"text": "The capital of Texas is"},
                "two": {"text": text, "held_out": True},
            },
        }
    )
    assert list(near_twins(hypothesis)) == ([("one", "two")] if is_near else [])


@pytest.mark.parametrize(
    "text",
    [
        "the CAPITAL of\u00a0“Texas”",
        "The\u200b capital of 'Texas'",
        *(
            f"The capital{c} of 'Texas'"
            for c in "\ufe0f\ufe0e\u034f\u2800\u3164\u180b\uffa0\U000e0100"
        ),
    ],
)
def test_case_quotes_and_what_is_unseen_make_no_other_text(text):
    plain_text = plain(text)
    assert plain_text.replace('"', "'") == "the capital of 'texas'"


def test_the_same_words_where_it_is_clamped_are_one_prompt():
    data = json.loads(json.dumps(HYPOTHESIS))
    data["prompts"]["again"] = {"city": "PLANO.", "text": "Now {city} is", "answer": " Austin"}
    hypothesis = Hypothesis.model_validate(data)
    names = ["plano", "again", "lubbock"]
    assert spans_of(hypothesis, hypothesis.interventions["ablate_texas"]) == ("city",)
    assert n_independent(hypothesis, names, ["city"]) == 2
    assert n_independent(hypothesis, names, []) == 3
