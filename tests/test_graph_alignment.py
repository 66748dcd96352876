"""Places that prompts have in common: worked out by hand."""

from __future__ import annotations

import pytest

from tracer.record.graph.alignment import SpannedPrompt, TokenPlace, align, misaligned


def prompt(name: str, text: str, template: str | None = "t", **spans: tuple[int, int]):
    tokens = tuple(text.split())
    spans = {"last": (len(tokens) - 1, len(tokens)), **spans}
    return SpannedPrompt(name, tokens, spans, template)


DALLAS = prompt("dallas", "the city of Dallas is in the state of", city=(3, 4))
WORTH = prompt("worth", "the city of Fort Worth is in the state of", city=(3, 5))


def test_spans_align_at_their_ends_and_other_tokens_by_their_text():
    found = align([DALLAS, WORTH])
    labels = ["the", "city", "of", "{city−1}", "{city}", "is", "in", "the", "state", "{last}"]
    assert [each.label for each in found.places] == labels
    assert found.numbers["dallas"].tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert found.numbers["worth"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert found.having().tolist() == [2, 2, 2, 1, 2, 2, 2, 2, 2, 2]
    assert misaligned([DALLAS, WORTH]) is None


def test_a_text_that_comes_twice_is_counted_from_the_span_that_follows():
    found = align([prompt("a", "a b a c x", x=(4, 5))])
    assert found.places[0] == TokenPlace("x", 1, "a") and found.places[2] == TokenPlace("x", 0, "a")


def test_where_spans_overlap_the_one_of_fewer_tokens_has_the_token():
    nested = prompt("a", "in the city of Dallas now", phrase=(1, 5), city=(4, 5))
    found = align([nested])
    labels = ["in", "{phrase−3}", "{phrase−2}", "{phrase−1}", "{city}", "{last}"]
    assert [each.label for each in found.places] == labels
    at_the_end = align([prompt("a", "now Dallas", city=(1, 2))])
    assert at_the_end.places[-1] == TokenPlace("city", 0)


def test_paraphrases_share_spans_and_the_tokens_that_both_have():
    other = prompt("asked", "in the state of Dallas the capital is", "u", city=(4, 5))
    found = align([DALLAS, other])
    assert misaligned([DALLAS, other]) is None
    both = {each for each, n in zip(found.places, found.having(), strict=True) if n == 2}
    assert both == {
        TokenPlace("city", 0),
        TokenPlace("last", 0),
        TokenPlace("city", 0, "the"),
        TokenPlace("city", 0, "of"),
        TokenPlace("last", 0, "the"),
    }


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (prompt("b", "the city of Waco is in the great state of", city=(3, 4)), "5 tokens outside"),
        (prompt("b", "the city of Waco is in the state of"), "'b' lacks the span 'city', which"),
        (prompt("b", "Waco is in the state of", city=(0, 1)), "0 tokens outside of spans stand"),
        (
            prompt("b", "the city of Waco is in the state of", city=(3, 4), state=(7, 8)),
            "'dallas' lacks the span 'state', which 'b' has",
        ),
    ],
)
def test_what_does_not_align_is_told(wrong: SpannedPrompt, reason: str):
    found = misaligned([DALLAS, WORTH, wrong])
    assert found is not None and found.prompt == "b"
    assert reason in found.reason


def test_another_order_of_spans_is_told():
    one = prompt("one", "a b c d", x=(0, 1), y=(2, 3))
    other = prompt("other", "a b c d", x=(2, 3), y=(0, 1))
    found = misaligned([one, other])
    assert found is not None and "in another order than those of 'one'" in found.reason
