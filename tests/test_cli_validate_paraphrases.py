"""Paraphrases on the command line: checked with the tokenizer, and counted by their own length."""

from __future__ import annotations

import pytest

from tests.command import call
from tests.records import YAML
from tests.test_plan import CONFIG
from tracer.cli import validate as local_tokens
from tracer.engine.model.tokenizer import TokenizerOnly
from tracer.errors import HypothesisError
from tracer.hypothesis.tokens import TokenizedPrompt

SECTION = """\
robustness:
  templates:
    good: "The capital of the state of {city}:"
    bad: "{city} lies in a state with this capital:"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A tokenizer is at hand, by which the city begins the sentence as another token."""

    def tokenize(file, tokenizer, context):
        template = file.hypothesis.template
        if template.startswith("{city}"):
            mistake = file.mistake(("prompts", "dallas", "city"), "the span is empty")
            raise HypothesisError(file.path, [mistake])
        n = len(template.split())
        spans = {"city": (1, 2), "last": (n - 1, n)}
        return {
            name: TokenizedPrompt(name, "", tuple(range(n)), ("",) * n, spans, None, {})
            for name in file.hypothesis.prompts
        }

    opened = TokenizerOnly(None, {**CONFIG, "max_position_embeddings": 512})
    monkeypatch.setattr(local_tokens, "why_not_here", lambda file: None)
    monkeypatch.setattr(local_tokens, "tokenize", tokenize)
    monkeypatch.setattr(local_tokens, "open_tokenizer", lambda spec, progress: opened)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a.yaml"


def test_validate_tells_which_paraphrase_does_not_fit(file, capfd):
    file.write_text(YAML + SECTION)
    result = call(capfd, "validate", "a.yaml")
    assert result.code == 4
    line = (
        (YAML + SECTION).splitlines().index('    bad: "{city} lies in a state with this capital:"')
    )
    assert f"a.yaml:{line + 1}:" in result.err
    told = "robustness.templates.bad: with it, prompts.dallas.city: the span is empty"
    assert told in result.err


def test_plan_counts_a_paraphrase(file, capfd):
    file.write_text(YAML + SECTION.rsplit("\n", 2)[0] + "\n")
    result = call(capfd, "plan", "a.yaml")
    assert result.code == 0
    assert "variation template-good" in result.out
    assert "848 (clamped versions of prompts)" in result.out
