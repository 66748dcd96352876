from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.command import Result, call, write_file
from tests.test_plan import CONFIG
from tracer.cli import validate as local_tokens
from tracer.engine.model.tokenizer import TokenizerOnly
from tracer.errors import HypothesisError, Mistake
from tracer.hypothesis.tokens import TokenizedPrompt

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mistake]:
    """A tokenizer is at hand, and finds these mistakes."""
    mistakes: list[Mistake] = []

    def tokenize(file: Any, tokenizer: Any, context: int) -> dict[str, TokenizedPrompt]:
        if mistakes:
            raise HypothesisError(file.path, mistakes)
        spans = {"city": (7, 9), "last": (9, 10)}
        return {
            name: TokenizedPrompt(name, "", tuple(range(10)), ("",) * 10, spans, None, {})
            for name in file.hypothesis.prompts
        }

    opened = TokenizerOnly(None, {**CONFIG, "max_position_embeddings": 512})
    monkeypatch.setattr(local_tokens, "why_not_here", lambda file: None)
    monkeypatch.setattr(local_tokens, "tokenize", tokenize)
    monkeypatch.setattr(local_tokens, "open_tokenizer", lambda spec, progress: opened)
    return mistakes


def test_validate_a_good_file(tracer_: Command, here: list[Mistake]):
    file = str(write_file(Path("a.yaml")))
    result = tracer_("validate", file)
    assert (result.code, result.out) == (0, "a.yaml: ok\n")


def test_validate_tells_tokens_too(tracer_: Command, here: list[Mistake]):
    here.append(Mistake(7, 3, "prompts.dallas.answer", "'Austin' is two tokens"))
    result = tracer_("validate", str(write_file(Path("a.yaml"))))
    assert (result.code, result.out) == (4, "")
    assert "a.yaml:7:3: prompts.dallas.answer: 'Austin' is two tokens" in result.err


def test_validate_tells_what_the_model_does_not_have(tracer_: Command, here: list[Mistake]):
    write_file(Path("a.yaml"))
    ids = 'supernodes.texas={features: ["18_0", "17_2048", "17_2047"], at: city}'
    result = tracer_("validate", "a.yaml", "--set", ids)
    assert result.code == 4
    assert "'18_0': layer 18 is out of range; the last is 17." in result.err
    assert "'17_2048': layer 17 has features 0 to 2047." in result.err
    assert "features[2]" not in result.err
    result = tracer_("validate", "a.yaml", "--set", ids, "--set", "features=org/set")
    assert "features[1]" not in result.err  # nobody knows how wide a set is before it is opened
    heads = 'supernodes.texas={heads: ["3.4", "17.3"], at: last}'
    assert "'3.4': layer 3 has heads 0 to 3." in tracer_("validate", "a.yaml", "--set", heads).err


def test_validate_says_what_was_not_checked(tracer_: Command):
    file = str(write_file(Path("a.yaml")))
    result = tracer_("validate", file, "--model", "nobody/nothing-here")
    assert result.code == 0
    assert "a.yaml: ok" in result.out
    assert "tokens were not checked. nobody/nothing-here" in " ".join(result.out.split())


def test_validate_finds_every_mistake_of_every_file(tracer_: Command, here: list[Mistake]):
    write_file(Path("hypotheses/a.yaml"))
    Path("hypotheses/b.yaml").write_text("hypothesis: b\nclaim: c\nprompt: {}\n")
    Path("hypotheses/c.yaml").write_text("")
    result = tracer_("validate")
    assert result.code == 4
    assert "hypotheses/a.yaml: ok" in result.out
    assert "hypotheses/b.yaml:3" in result.err
    assert "hypotheses/c.yaml" in result.err


def test_validate_json(tracer_: Command, here: list[Mistake]):
    write_file(Path("hypotheses/a.yaml"))
    Path("hypotheses/b.yaml").write_text("claim: c\n")
    document = json.loads(tracer_("validate", "--json").out)
    assert (document["schema"], document["exit_code"]) == ("tracer.validation/1", 4)
    assert {each["file"]: each["exit_code"] for each in document["results"]} == {
        "hypotheses/a.yaml": 0,
        "hypotheses/b.yaml": 4,
    }


def test_an_empty_folder_selects_nothing(tracer_: Command, folder: Path):
    (folder / "hypotheses").mkdir()
    assert tracer_("validate").code == 5
    assert tracer_("plan").code == 5


def test_plan(tracer_: Command, here: list[Mistake]):
    result = tracer_("plan", str(write_file(Path("a.yaml"))))
    assert result.code == 0
    text = " ".join(result.out.split())
    assert "clean passes 5" in text
    assert "rows 424" in text
    assert "tokens 848, 20 % of one full pass per row" in text
    assert "GiB" in text
    assert "time roughly" in text
    assert "texas_to_california 4 4 20 396 420" in text
    assert max(map(len, result.out.splitlines())) <= 80


def test_json_of_plans_and_of_files_that_have_none(tracer_: Command, here: list[Mistake]):
    write_file(Path("hypotheses/a.yaml"))
    Path("hypotheses/b.yaml").write_text("claim: c\n")
    result = tracer_("plan", "--json")
    document = json.loads(result.out)
    [plan], [broken] = document["plans"], document["broken"]
    assert (result.code, document["exit_code"], broken["file"]) == (4, 4, "hypotheses/b.yaml")
    assert (plan["clean_passes"], plan["rows"], plan["tokens"]) == (5, 424, 848)
    assert [each["rows"] for each in plan["interventions"]] == [4, 420]
    shown = " ".join(result.err.split())
    assert "texas_to_california 4 4 20 396 420" in shown


def test_plan_without_a_tokenizer(tracer_: Command):
    file = str(write_file(Path("a.yaml")))
    result = tracer_("plan", file, "--model", "nobody/nothing-here")
    assert result.code == 0
    assert "rows             424" in result.out
    assert "GiB" not in result.out
    assert "no tokens, memory or time. nobody/nothing-here" in result.err
    [plan] = json.loads(tracer_("plan", file, "--model", "nobody/nothing-here", "--json").out)[
        "plans"
    ]
    assert plan["unknown"].startswith("nobody/nothing-here")
    assert (plan["rows"], plan["tokens"], plan["seconds"]) == (424, None, None)


def test_plan_of_a_file_that_does_not_fit_the_model(tracer_: Command, here: list[Mistake]):
    here.append(Mistake(7, 3, "prompts.dallas.answer", "'Austin' is two tokens"))
    assert tracer_("plan", str(write_file(Path("a.yaml")))).code == 4
