"""Tables of values: three formats that say the same, and what is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.errors import HypothesisError
from tracer.hypothesis.table import read_table

SAME = {
    "t.csv": 'name,city,answer\ndallas,Dallas, Austin\n\nny,"New\nYork", Albany\n',
    "t.tsv": 'name\tcity\tanswer\r\ndallas\tDallas\t Austin\r\nny\t"New\nYork"\t Albany\r\n',
    "t.jsonl": '{"name": "dallas", "city": "Dallas", "answer": " Austin"}\n\n\n'
    '{"name": "ny", "city": "New\\nYork", "answer": " Albany"}\n',
    "t.yaml": 'dallas: {city: Dallas, answer: " Austin"}\n\n\n'
    'ny: {city: "New\\nYork", answer: " Albany"}\n',
}


@pytest.mark.parametrize("name", SAME)
def test_all_formats_say_the_same(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + SAME[name].encode())
    found = read_table(str(path))
    assert found.prompts == {
        "dallas": {"city": "Dallas", "answer": " Austin"},
        "ny": {"city": "New\nYork", "answer": " Albany"},
    }
    first = 2 if name.endswith("sv") else 1
    assert [mark.line for mark in found.marks.values()] == [first, 3 if name == "t.tsv" else 4]


def test_numbers_are_kept_as_they_are_spelled(tmp_path: Path):
    for name, text in {"n.jsonl": '{"a": 1.50, "b": 7}', "n.yaml": "x: {a: 1.50, b: 7}"}.items():
        (tmp_path / name).write_text(text)
        [found] = read_table(str(tmp_path / name)).prompts.values()
        assert found == {"a": "1.50", "b": "7"}


def test_rows_without_names_are_numbered(tmp_path: Path):
    (tmp_path / "n.csv").write_text("a\n1\n2\n")
    assert list(read_table(str(tmp_path / "n.csv")).prompts) == ["row_1", "row_2"]


@pytest.mark.parametrize(
    ("name", "text", "sentences"),
    [
        ("a.csv", "a,b\n1,2\n3,\n , \n 1,4\n", [":3: no value for 'b'"]),
        ("a.csv", "a,b\n1,2\n3,4\n1,2\n", [":4: the same values as on line 2"]),
        ("a.csv", "name,a\nx,1\nx,2\n", [":3: 'x' names the prompt on line 2 too"]),
        ("a.csv", "name,a\nx y,1\n", [":2: 'x y' is no name for a prompt: letters, digits"]),
        ("a.csv", "a,b\n1,2,3\n", [":2: 3 values, where the first line names 2 columns"]),
        ("a.csv", "a,a\n1,2\n", [":1: two columns are named 'a'"]),
        ("a.csv", "a b\n1\n", [":2: 'a b' is no name for a column"]),
        ("a.csv", 'a\n"1\n', ["not valid CSV: unexpected end of data"]),
        ("a.csv", "a,b\n", ["there is no row of values in it"]),
        ("a.csv", "", ["there is no row of values in it"]),
        ("a.jsonl", '{"a": "1"}\n{"b": "1"}\n', [":1: no value for 'b'", ":2: no value for 'a'"]),
        ("a.jsonl", '{"a": null}\n', [":1: a: found nothing; a text or a number is expected"]),
        ("a.jsonl", '{"a": [1]}\n', [":1: a: found ['1']; a text or a number"]),
        ("a.jsonl", '{"a": 1}\n{"a"\n', [":2: not valid JSON: "]),
        ("a.jsonl", "[1]\n", [":1: found ['1']; each line is an object"]),
        ("a.yaml", "x: 1\n", [":1: found 1; each prompt's values are a mapping"]),
        ("a.yaml", "x: {a: 1}\nx: {a: 2}\n", ["'x' is given twice, in lines 1 and 2"]),
        ("a.yaml", "x: {a: yes\n", ["not valid YAML"]),
        ("a.txt", "x", ["the name of a table ends in one of '.csv', '.tsv'"]),
        ("b.csv", None, ["there is no such file"]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, name: str, text: str | None, sentences: list[str]
):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(HypothesisError) as refused:
        read_table(str(path))
    told = str(refused.value).splitlines()
    assert len(told) == len(sentences)
    for line, sentence in zip(told, sentences, strict=True):
        assert sentence in line
