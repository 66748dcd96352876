from __future__ import annotations

from pathlib import Path

import pytest
from declared import DALLAS, GOOD, PLANO, TEXAS, accepted, assert_mistake, changed, mistakes

CASES = [
    (
        DALLAS,
        '  dallas: {city: Dallas, anwser: " Austin", answer: " Austin"}',
        "prompts.dallas.anwser",
        "unknown key 'anwser': the text has no {anwser}. Did you mean 'answer'? Allowed: 'text'",
    ),
    (
        DALLAS,
        '  dallas: {city: Dallas, text: "In {city}", messages: [], answer: " A"}',
        "prompts.dallas",
        "it has both `text` and `messages`",
    ),
    (
        DALLAS,
        '  dallas: {messages: [], answer: " A", spans: {}}',
        "prompts.dallas.messages",
        "the list is empty",
    ),
    (
        DALLAS,
        '  dallas: {text: "In {city} or {town}", city: Dallas, answer: " A"}',
        "prompts.dallas.text",
        "the variable {town} has no value. Given: 'city'.",
    ),
    (
        DALLAS,
        '  dallas: {text: "In {city} {", city: Dallas, answer: " A"}',
        "prompts.dallas.text",
        "'{' at character 11 is no variable",
    ),
    (
        DALLAS,
        DALLAS[:-1] + ", spans: {state: Texas}}",
        "prompts.dallas.spans.state",
        "'Texas' does not occur in 'The capital of the state containing Dallas is'",
    ),
    (
        DALLAS,
        DALLAS[:-1] + ", spans: {a: al}}",
        "prompts.dallas.spans.a",
        "'al' occurs 2 times in 'The capital",
    ),
    (DALLAS, DALLAS[:-1] + ", spans: {a: ''}}", "prompts.dallas.spans.a", "it is empty"),
    (DALLAS, DALLAS[:-1] + ", spans: {last: is}}", "prompts.dallas.spans.last", "is reserved"),
    (
        DALLAS,
        DALLAS[:-1] + ", spans: {city: state}}",
        "prompts.dallas.spans.city",
        "'city' is already the span of the variable {city}",
    ),
    (PLANO, PLANO + "\n  spare: {city: Waco}", "prompts.spare", "nobody uses this prompt"),
    (PLANO, PLANO + "\n  here: {city: Waco}", "prompts.here", "the name 'here' is reserved"),
    ("template: ", "template: '{'  # ", "template", "'{' at character 1 is no variable"),
]


@pytest.mark.parametrize(("old", "new", "where", "sentence"), CASES)
def test_a_mistake_is_told_at_its_place(
    tmp_path: Path, old: str, new: str, where: str, sentence: str
):
    assert_mistake(tmp_path, changed((old, new)), where, sentence)


def test_a_prompt_without_text_and_an_unused_template(tmp_path: Path):
    [mistake, *_] = mistakes(tmp_path, changed(("template: ", "source: ")))
    assert (
        "it has no text: give it `text` or `messages`, or the file a `template`" in mistake.message
    )
    text = changed(("template: ", "claim: x\n# "), ("claim: The", "# "))
    for name in ("Dallas", "Oakland", "Plano"):
        text = text.replace(f"city: {name},", f'city: {name}, text: "In {{city}}",')
    found = mistakes(tmp_path, "template: unused {x}\n" + text)
    assert [m.message for m in found] == ["no prompt uses the template: each has its own text"]


def test_variables_of_expected_tokens_count_as_used(tmp_path: Path):
    text = GOOD
    for name in ("Dallas", "Plano"):
        text = text.replace(f"city: {name},", f"city: {name}, other: ' Paris',")
    accepted(tmp_path, text.replace('{top: " Sacramento"}', '{top: "{other}"}'))
    mistake, _ = mistakes(tmp_path, text)
    assert "unknown key 'other': the text has no {other}." in mistake.message


def test_chat_prompts_are_checked_message_by_message(tmp_path: Path):
    chat = (
        '  dallas: {city: Dallas, answer: " A", messages: [{role: system, content: Be brief.}, '
        "{role: user, content: 'Where is {city}? {'}]}"
    )
    [mistake] = mistakes(tmp_path, changed((DALLAS, chat)))
    assert mistake.where == "prompts.dallas.messages[1].content"


def test_a_span_that_occurs_once_is_a_place(tmp_path: Path):
    spans = DALLAS[:-1] + ", spans: {state: the state}}"
    at_span = TEXAS.replace("[oakland]", "[]").replace("city", "state")
    accepted(
        tmp_path,
        changed(
            (DALLAS, spans),
            (TEXAS, at_span),
            ("dallas, plano]", "dallas]"),
            ("against: [dallas]", "against: [plano]"),
            (", held_out: true", ""),
        ),
    )


@pytest.mark.parametrize("city", ["ירושלים", "東京", "🐄 Town", "<b>&amp;</b>", "{{ 7*7 }}"])
def test_any_writing_is_a_value(tmp_path: Path, city: str):
    accepted(tmp_path, changed(("city: Dallas", f"city: '{city}'")))
