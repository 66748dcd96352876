from __future__ import annotations

import pytest

from tracer.cli.select import compile_expression
from tracer.errors import UsageError

NAMES = ["two_hop", "two_hop_language", "multilingual"]


@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        ("two_hop", [0, 1]),
        ("LINGUAL", [2]),
        ("two_hop and not language", [0]),
        ("not two_hop", [2]),
        ("language or lingual", [1, 2]),
        ("two and language or multi", [1, 2]),
        ("two and (language or multi)", [1]),
        ("not (two or multi)", []),
        ("not not two", [0, 1]),
    ],
)
def test_expressions(expression: str, kept: list[int]):
    test = compile_expression(expression)
    assert [NAMES.index(name) for name in NAMES if test(name)] == kept


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("", "the end"),
        ("two and", "the end"),
        ("(two", "the end"),
        ("two)", r"'\)'"),
        ("two language", "'language'"),
        ("or two", "'or'"),
    ],
)
def test_mistakes(expression: str, found: str):
    with pytest.raises(UsageError, match=f"did not expect {found}"):
        compile_expression(expression)


@pytest.mark.parametrize("expression", ["(" * 500 + "a" + ")" * 500, "not " * 500 + "a"])
def test_nesting_without_end_is_a_sentence(expression: str):
    with pytest.raises(UsageError, match="nests deeper than 50 levels") as caught:
        compile_expression(expression)
    assert len(str(caught.value)) < 300


def test_many_words_are_no_nesting():
    assert compile_expression(" or ".join(["(x)"] * 2000 + ["two"]))("two_hop")
    assert compile_expression("(" * 49 + "two" + ")" * 49)("two_hop")
