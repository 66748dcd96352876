"""`tracer ask`: the model's own probabilities, every way in, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.command import Result, call
from tests.tiny_file import write_tiny

Command = Callable[..., Result]
TEMPLATE = "the capital of {city} is"


@pytest.fixture
def tracer_(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path
) -> Command:
    """`tracer ask` on the tiny model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(call, capfd, "ask", "--model", str(tiny), "--device", "cpu")


def test_texts_are_answered_and_cut_into_tokens(tracer_: Command):
    result = tracer_("the capital of Texas is", "Dallas \x1b[31m", "--top", "2")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[:2] == ["prompt_1", "  the capital of Texas is"]
    assert lines[2].startswith("  next    '") and lines[2].count(" %") == 2
    tokens = "  tokens  0:'<bos>'  1:'the'  2:' capital'  3:' of'  4:' Texas'  5:' is'"
    assert lines[3:6] == [tokens, "  spans   last 5", ""]
    assert "\x1b" not in result.out and max(map(len, lines)) <= 80


def test_json_has_the_model_s_own_probabilities(tracer_: Command, bench):
    Path("t.csv").write_text("name,city,answer\na,Dallas, Austin\nb,Oakland, Sacramento\n")
    result = tracer_("--template", TEMPLATE, "--table", "t.csv", "--json")
    document = json.loads(result.out)
    assert document["schema"] == "tracer.answers/1"
    model = bench.model._bridge.original_model
    for found, name, city in zip(document["prompts"], "ab", ("Dallas", "Oakland"), strict=True):
        assert (found["name"], found["text"]) == (name, TEMPLATE.format(city=city))
        ids = [token["id"] for token in found["tokens"]]
        with torch.no_grad():
            probabilities = model(torch.tensor([ids])).logits[0, -1].softmax(0)
        best = probabilities.topk(10)
        assert [each["id"] for each in found["top"]] == best.indices.tolist()
        assert found["top"][0]["probability"] == pytest.approx(float(best.values[0]), rel=1e-4)
        mine = found["asked"][found["answer"]]
        assert mine["probability"] == pytest.approx(float(probabilities[mine["id"]]), rel=1e-4)
        assert found["is_right"] is (mine["id"] == best.indices[0].item())
        start, stop = found["spans"]["city"]
        assert "".join(t["token"] for t in found["tokens"][start:stop]).strip() == city


def test_a_hypothesis_is_asked_with_its_model(capfd, tmp_path: Path, tiny: Path):
    file = write_tiny(tmp_path, tiny)
    result = call(capfd, "ask", "--hypothesis", str(file))
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert "dallas" in lines and "  spans   last 5, city 4" in lines
    assert "the answer comes first." not in result.out  # none of them declares one


def test_a_hypothesis_is_asked_before_it_is_finished(tracer_: Command):
    rows = "prompts:\n  a: {city: Texas, answer: ' Austin'}\nsupernodes: soon\nclaims: none\n"
    Path("h.yaml").write_text(f'template: "{TEMPLATE}"\n{rows}')
    result = tracer_("--hypothesis", "h.yaml")
    assert result.code == 0, result.err
    assert result.out.splitlines()[:2] == ["a", "  the capital of Texas is"]
    assert "mistakes outside of its prompts; `tracer validate` tells them." in result.err
    Path("h.yaml").write_text(f'template: "{TEMPLATE}"\nprompts: {{a: {{town: Texas}}}}\n')
    result = tracer_("--hypothesis", "h.yaml")
    assert result.code == 4 and "h.yaml:2" in result.err and "town" in result.err


def test_lines_of_a_file_and_how_many_are_right(tracer_: Command):
    Path("l.txt").write_text("the capital\n\nof Texas {is}\n")
    result = tracer_("--file", "l.txt")
    assert [line for line in result.out.splitlines() if line[:1] == "l"] == ["line_1", "line_3"]
    rows = '{"city": "Dallas", "answer": " Austin"}\n{"city": "Plano", "answer": " is"}'
    Path("t.jsonl").write_text(rows)
    result = tracer_("--template", TEMPLATE, "--table", "t.jsonl")
    assert result.out.count("  answer  '") == 2
    assert result.out.splitlines()[-1].endswith(" of 2 prompts: the answer comes first.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "or by --template and --table; found none."),
        (["x", "--file", "t.csv"], "found texts and --file."),
        (["x", "--template", "{a}"], "--template and --table go together"),
        (["--table", "t.csv"], "--template and --table go together"),
        (["--template", "{town}", "--table", "t.csv"], "t.csv:2:1: prompts.row_1.text: the vari"),
        (["--template", "{city}", "--table", "t.csv"], "t.csv:3:1: prompts.row_2.answer: "),
        (["--hypothesis", "no.yaml"], "no.yaml: there is no such file"),
    ],
)
def test_what_is_wrong_is_a_sentence(tracer_: Command, arguments: list[str], sentence: str):
    Path("t.csv").write_text("city,answer\nDallas, Austin\nPlano, Sacramento Austin\n")
    result = tracer_(*arguments)
    assert result.code == 4
    assert sentence in result.err and not result.out
