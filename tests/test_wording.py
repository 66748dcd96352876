from decimal import Decimal

import pytest

from tracer.evidence.wording import (
    clamp_words,
    counted,
    exact,
    named,
    number,
    p_text,
    show_token,
    signed,
)
from tracer.hypothesis.clamps import InterventionSpec


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" Austin", "' Austin'"),
        ("", "''"),
        ("\n", r"'\n'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\u202egnp", r"'\u202egnp'"),
        ("\ud800", r"'\ud800'"),
        ("大", "'大'"),
        ("it's", '"it\'s"'),
    ],
)
def test_a_token_is_shown_with_its_space_and_nothing_a_terminal_obeys(token, shown):
    assert show_token(token) == shown
    assert shown.isprintable()
    shown.encode("utf-8")


@pytest.mark.parametrize("value", [1.0, 0.6, -0.005, 12345.678, 1e-7, 0.1, 3.0])
def test_a_threshold_keeps_every_digit(value):
    text = exact(value)
    assert float(text.replace("−", "-")) == value
    assert len(text.partition(".")[2]) >= 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.00"),
        (2.345, "2.35"),
        (-1.27, "−1.27"),
        (0.44, "0.44"),
        (0.0312, "0.031"),
        (-0.0312, "−0.031"),
        (0.00123, "0.0012"),
        (3e-7, "3.0e−07"),
        (99.9, "99.90"),
    ],
)
def test_a_number_keeps_the_digits_that_matter(value, shown):
    assert number(value) == shown
    assert float(Decimal(shown.replace("−", "-"))) == pytest.approx(value, rel=0.05)


def test_a_signed_number_says_on_which_side_it_is():
    assert [signed(v) for v in (2.32, -1.27, 0.0)] == ["+2.32", "−1.27", "0.00"]


def test_p_has_two_digits():
    assert [p_text(p) for p in (0.01, 1 / 24, 1 / 120, 1.0, 5e-5)] == [
        "0.01",
        "0.042",
        "0.0083",
        "1",
        "5e−05",
    ]


def test_words_are_counted_and_names_cut():
    assert [counted(n, "prompt") for n in (0, 1, 36864)] == [
        "0 prompts",
        "1 prompt",
        "36,864 prompts",
    ]
    assert named("abcd") == "a, b, c, d"
    assert named("abcdef") == "a, b, c, d and 2 more"


def test_clamps_are_told_in_the_order_they_are_made():
    spec = InterventionSpec.model_validate(
        {
            "prompts": ["x"],
            "clamp": {"b": -2, "a": {"times": 1.5, "from": ["here"]}, "c": 0},
        }
    )
    assert clamp_words(spec.clamp) == "b ×−2, a ×1.5 from here, c ×0"
