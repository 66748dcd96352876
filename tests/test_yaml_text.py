from __future__ import annotations

from pathlib import Path

import pytest

from tracer.errors import HypothesisError
from tracer.hypothesis.yaml_text import (
    MAX_BYTES,
    Mark,
    YamlMistake,
    parse,
    parse_value,
    read_text,
    to_yaml,
)


def test_only_true_and_false_are_booleans_and_nothing_is_a_date():
    source = parse(
        "on: off\nno: [yes, true, False, 20_15589, 1:30, 2020-01-01, 0x1F]\n"
        "numbers: [1, -2, 012, 1e3, .5, 1.]\nnothing: [~, null, ]\n"
    )
    assert source.data == {
        "on": "off",
        "no": ["yes", True, False, "20_15589", "1:30", "2020-01-01", "0x1F"],
        "numbers": [1, -2, 12, 1000.0, 0.5, 1.0],
        "nothing": [None, None],
    }
    assert not source.problems


def test_every_key_and_item_has_a_place():
    marks = parse("a: 1\nb:\n  - x\n  - {c: 2}\n").marks
    assert marks[("a",)] == Mark(1, 1)
    assert marks[("b", 0)] == Mark(3, 5)
    assert marks[("b", 1, "c")] == Mark(4, 6)


def test_what_is_written_reads_back():
    data = {
        "on": ["no", "true", "1", "20_15589", "1e3", "~", "", " x ", "a: b", "# c", "{d}"],
        "text": "line\nbreak\t\u202eעברית 🐄 \x07",
        "values": [True, None, 1, 0.25, 1e300],
    }
    assert parse(to_yaml(data)).data == data


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029"])
def test_ends_of_lines_to_yaml_alone_are_escaped(character: str):
    data = {f"a{character}b": [character, f"the city{character}of {character}{character}x\n"]}
    written = to_yaml(data)
    assert character not in written
    assert parse(written).data == data


def test_anchors_repeat_a_value():
    assert parse("a: &x [1]\nb: *x\n").data == {"a": [1], "b": [1]}


def test_keys_given_twice_and_keys_that_are_not_text_leave_the_rest_readable():
    source = parse("a: 1\n5: x\nb: {c: 1, c: 2}\na: 3\n")
    assert source.data == {"a": 1, "5": "x", "b": {"c": 1}}
    assert [(p.path, p.message) for p in source.problems] == [
        (("5",), "the key 5 is not text: put it in quotes"),
        (("b", "c"), "the key 'c' is given twice, in lines 3 and 3"),
        (("a",), "the key 'a' is given twice, in lines 1 and 4"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "sentence"),
    [
        ("", 1, 1, "the file is empty"),
        ("# only a comment\n", 1, 1, "the file is empty"),
        ("- a\n", 1, 1, "found ['a']; a hypothesis is a mapping (key: value)"),
        ("\n42\n", 2, 1, "found 42; a hypothesis is a mapping"),
        ("a:\n\tb: 1\n", 2, 1, "a tab cannot indent: use spaces"),
        ("a: b: c\n", 1, 5, "put the text in quotes"),
        ("a: [1, 2\n", 2, 1, "a bracket is never closed"),
        ('a: "b\n', 2, 1, "a quote is never closed"),
        ("a: @b\n", 1, 4, "put the text in quotes"),
        ("a: {b} is\n", 1, 8, "text that begins with '{'"),
        ("a: 1\n---\nb: 2\n", 2, 1, "one file holds one hypothesis"),
        ("a: *b\n", 1, 4, "undefined alias"),
        ("a: !!python/object:os.system x\n", 1, 4, "plain values only"),
        ("a: !!timestamp 2020-01-01\n", 1, 4, "plain values only"),
        ("a: !x [1]\n", 1, 4, "the tag '!x' is not allowed"),
        ("a: !!int b\n", 1, 4, "'b' is no int"),
        ("<<: {a: 1}\n", 1, 1, "merge keys ('<<') are not read"),
        ("? [a, b]\n: 1\n", 1, 3, "a key must be text"),
        ("a: &x [*x]\n", 1, 4, "its aliases nest deeper than 40 levels"),
        ("x: 1\na: b\x85c\n", 2, 5, "the character U+0085 ends a line in YAML"),
        ("a: 'b\u2028c'\n", 1, 6, "spell it \\u2028 inside double quotes"),
        ("# a\u2029b\n", 1, 4, "the character U+2029"),
        ("a: b\x00c\n", 1, 5, "the character '\\x00' is not allowed in YAML"),
        ('a: "\\ud800"\n', 1, 4, "half of a surrogate pair"),
        ("a: [" + "x," * 100_001 + "]", 1, 4, "it holds more than 100,000 values"),
        ("a: " + "[" * 100_000, 1, 42, "nested deeper than 40 levels"),
    ],
)
def test_bad_yaml_is_a_sentence_with_its_place(text: str, line: int, column: int, sentence: str):
    with pytest.raises(YamlMistake) as caught:
        parse(text)
    assert sentence in caught.value.message
    assert (caught.value.line, caught.value.column) == (line, column)


def test_an_alias_bomb_is_refused_before_it_grows():
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(YamlMistake, match="expand to more than 100,000 values"):
        parse("\n".join(["a0: &a0 [lol, lol]", *levels]))


def test_one_value_is_read_for_an_override():
    assert parse_value(" [1, no] ") == [1, "no"]
    assert parse_value("") is None
    with pytest.raises(YamlMistake, match="given twice"):
        parse_value("{a: 1, a: 2}")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.yaml", None, "there is no such file"),
        ("latin.yaml", "a: 1\nb: é\n".encode("latin-1"), "byte 0xe9 is not UTF-8"),
        ("big.yaml", b"#" * (MAX_BYTES + 1), "larger than 1 MiB"),
    ],
)
def test_an_unreadable_file_is_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HypothesisError, match=sentence):
        read_text(str(tmp_path / name))


def test_a_missing_file_offers_the_nearest_and_a_folder_is_no_file(tmp_path: Path):
    (tmp_path / "two_hop.yaml").write_text("a: 1")
    with pytest.raises(HypothesisError, match=r"Did you mean 'two_hop\.yaml'\?"):
        read_text(str(tmp_path / "twohop.yaml"))
    with pytest.raises(HypothesisError, match="There is no folder"):
        read_text(str(tmp_path / "nowhere" / "a.yaml"))
    with pytest.raises(HypothesisError, match="this is a folder"):
        read_text(str(tmp_path))
    with pytest.raises(HypothesisError, match="cannot be read"):
        read_text("a\0b.yaml")


def test_a_byte_order_mark_is_no_text(tmp_path: Path):
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(str(tmp_path / "bom.yaml")) == "a: 1"
