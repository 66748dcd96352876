from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command import Result, call
from tracer.cli.features.cards import read_lines
from tracer.record.feature_card import Line

Command = Callable[..., Result]


@pytest.fixture
def tracer_(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny: Path,
) -> Command:
    """`tracer features` on the tiny model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(call, capfd, "features", "--model", str(tiny), "--device", "cpu")


def test_it_tells_tokens_norm_and_places(tracer_: Command):
    Path("text.txt").write_text("the capital of Texas is Austin\n\nDallas\x1b[31m is\n")
    result = tracer_("0_5", "1_9_3", "0_5_8", "--text", "text.txt", "--top", "2")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert [line for line in lines if line in ("0_5", "1_9")] == ["0_5", "1_9"]
    assert sum(line.startswith("  write norm ") for line in lines) == 2
    assert sum(line.startswith("  promotes  ") for line in lines) == 2
    assert "positive on" in result.out and "[" in result.out
    assert "\x1b" not in result.out
    assert max(map(len, lines)) <= 80


def test_json_tells_the_same_to_programs(tracer_: Command):
    Path("text.txt").write_text("the capital of Texas is Austin")
    result = tracer_("1_9", "--json", "--top", "2")
    [bare] = json.loads(result.out)["features"]
    assert (bare["id"], bare["on_text"]) == ("1_9", None)
    result = tracer_("1_9", "--json", "--top", "2", "--text", "text.txt")
    document = json.loads(result.out)
    assert (document["schema"], document["basis"]) == ("tracer.features/1", "neurons")
    [found] = document["features"]
    assert len(found["promoted"]) == len(found["suppressed"]) == 2
    assert found["write_norms"][0]["layer"] == 1
    on_text = found["on_text"]
    assert on_text["n_tokens"] == on_text["n_positive"] + on_text["n_negative"]
    both = on_text["positive"] + on_text["negative"]
    assert all(e["before"] + e["token"] + e["after"] for e in both)
    assert {e["line"] for e in both} == {1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["12"], "'12' is no feature id: write layer_index"),
        (["1_-1"], "'1_-1' is no feature id"),
        (["1_2_3_4"], "is no feature id"),
        (["1_" + "9" * 50], "is no feature id"),
        (["7_0", "0_999"], "7_0: the last layer is 1.\n0_999: layer 0 has features 0 to 63."),
        ([f"0_{n}" for n in range(101)], "101 features; at most 100"),
        (["0_1", "--text", "absent.txt"], "absent.txt: no such file."),
        (["0_1", "--text", "/dev/zero"], "/dev/zero: this is not a regular file."),
        (["0_1", "--top", "0"], "--top"),
        (["0_1", "--features", "nonsense"], "unknown features 'nonsense'"),
    ],
)
def test_bad_usage_is_4_and_a_sentence(tracer_: Command, arguments: list[str], sentence: str):
    result = tracer_(*arguments)
    assert result.code == 4
    assert sentence in result.err
    assert "Traceback" not in result.err


def test_lines_of_a_file_keep_their_numbers(tmp_path: Path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n \r\n\r\nfour\xe2\x80\xa8still four")
    assert read_lines(path) == [Line(1, "one"), Line(4, "four\u2028still four")]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b" \n\n", "there is no text in it"),
        (b"one\ntwo \xff", ":2: not UTF-8"),
        (b"x" * ((4 << 20) + 1), "larger than 4 MiB"),
    ],
)
def test_a_text_that_is_none_is_a_sentence(tracer_: Command, data: bytes, sentence: str):
    Path("text.txt").write_bytes(data)
    result = tracer_("0_1", "--text", "text.txt")
    assert (result.code, sentence in result.err) == (4, True)
    assert "importing" not in result.err
