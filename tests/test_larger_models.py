"""Hypotheses for models that are not to be had here: sound without one, and then skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import call
from huggingface_hub.errors import LocalEntryNotFoundError

from tracer.engine.model import hub
from tracer.engine.model.sources import MODELS_VARIABLE
from tracer.hypothesis.load import read
from tracer.hypothesis.named_dictionaries import DICTIONARIES

FOLDER = Path(__file__).parent.parent / "hypotheses" / "larger"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_says_what_it_is(path: Path):
    text = path.read_text(encoding="utf-8")
    assert all(word in text for word in ("# NEVER RUN", "# Baseline to expect", "# Refuted if"))
    declared = read(str(path)).hypothesis
    model = declared.model_spec.name
    assert declared.hypothesis == path.stem
    assert declared.tags[:2] == ("larger-model", model.partition("/")[2])
    assert (declared.if_absent, declared.expected) == ("skip", "consistent")
    assert declared.source
    dictionary = DICTIONARIES[declared.features]
    assert model in dictionary.models
    for node in declared.supernodes.values():
        assert node.select is not None and node.select.is_blind
        assert node.select.layers is not None and node.select.layers[1] < dictionary.n_layers
    for spec in declared.interventions.values():
        held_out = [declared.prompts[name].held_out for name in spec.prompts]
        assert held_out.count(True) >= 3 and False in held_out


def test_without_a_hub_all_are_skipped_with_the_reason(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unreachable(*_: object, **__: object):
        raise LocalEntryNotFoundError("")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", unreachable)
    result = call(capfd, "run", str(FOLDER))
    assert result.code == 5
    assert "− SKIPPED  refusal  google/gemma-3-1b-it is not in the hub's cache" in result.out
    assert result.out.endswith(f"{len(FILES)} hypotheses: {len(FILES)} skipped\n")
