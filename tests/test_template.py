from __future__ import annotations

import pytest

from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.template import (
    Place,
    TemplateMistake,
    places,
    render,
    render_prompt,
    render_token,
    variables,
)


def test_variables_are_filled_and_their_places_known():
    rendered = render("{a} and {b} and {a}", {"a": "x", "b": "ייי", "c": "unused"})
    assert rendered.text == "x and ייי and x"
    assert rendered.ranges == {"a": ((0, 1), (14, 15)), "b": ((6, 9),)}
    assert variables("{a}{b}{a}") == ("a", "b")


def test_double_braces_are_literal_and_values_are_never_rendered_again():
    assert render("{{a}} {{{a}}}", {"a": "{b}"}).text == "{a} {{b}}"
    assert render("<b>{{ 7*7 }}</b>", {}).text == "<b>{ 7*7 }</b>"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("a { b", "'{' at character 3 is no variable"),
        ("a } b", "'}' at character 3 is no variable"),
        ("{}", "'{}' at character 1"),
        ("{a.__class__}", "'{a.__class__}' at character 1"),
        ("{a!r}", "'{a!r}'"),
        ("{0}", "'{0}'"),
        ("{citty}", r"the variable {citty} has no value. Did you mean 'city'? Given: 'city'."),
    ],
)
def test_other_braces_are_mistakes(template: str, sentence: str):
    with pytest.raises(TemplateMistake) as caught:
        render(template, {"city": "Dallas"})
    assert sentence in str(caught.value)


def test_a_token_may_name_the_answer_and_the_variables():
    prompt = PromptSpec.model_validate({"text": "{x}", "answer": " A", "x": "y"})
    assert render_token("{answer}", prompt) == " A"
    assert render_token(" {x}", prompt) == " y"
    with pytest.raises(TemplateMistake, match="the variable {answer} has no value"):
        render_token("{answer}", PromptSpec(text="x"))


def test_places_count_overlaps_and_leave_out_empty_values():
    prompt = PromptSpec.model_validate(
        {"text": "aaa {x}{e}", "x": "é", "e": "", "spans": {"twice": "aa", "once": "a é"}}
    )
    assert places(prompt, render_prompt(prompt, None)) == {
        "x": (Place(0, 4, 5),),
        "e": (),
        "twice": (Place(0, 0, 2), Place(0, 1, 3)),
        "once": (Place(0, 2, 5),),
    }


def test_messages_are_rendered_one_by_one_and_own_text_goes_before_the_template():
    chat = PromptSpec.model_validate(
        {"messages": [{"role": "user", "content": "Hi {x}"}], "x": "you"}
    )
    assert [part.text for part in render_prompt(chat, "unused")] == ["Hi you"]
    own = PromptSpec(text="own")
    assert render_prompt(own, "unused")[0].text == "own"
    assert render_prompt(PromptSpec(), None) == ()
