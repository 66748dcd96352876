"""A word that cannot stand for a model is told at its line, before anything is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.declared import changed, mistakes
from tests.records import change, make_record
from tracer.hypothesis.names import misnamed, misnamed_model
from tracer.record.check import contradictions


@pytest.mark.parametrize("name", ["gemma-3-270m", "owner/name", "./x", "~/x", "/x", "a\\b"])
def test_known_names_ids_and_folders_may_be_models(name: str):
    assert misnamed_model(name) is None


@pytest.mark.parametrize(("wrong", "name"), [(misnamed_model, "mine-1.5"), (misnamed, "mine")])
def test_a_folder_of_a_model_or_features_needs_no_mark(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[str], str | None],
    name: str,
):
    monkeypatch.chdir(tmp_path)
    assert wrong(name) is not None
    Path(name).mkdir()
    assert wrong(name) is None


@pytest.mark.parametrize("written", ["gemma-3-27m", "{name: gemma-3-27m, dtype: bfloat16}"])
def test_another_word_is_told_with_the_nearest_and_all_known(tmp_path: Path, written: str):
    [told] = mistakes(tmp_path, changed(("template:", f"model: {written}\ntemplate:")))
    assert (told.line, told.where) == (3, "model")
    assert told.message.startswith(
        "unknown model 'gemma-3-27m'. Did you mean 'gemma-3-270m'? Known names: gemma-3-270m, "
    )


@pytest.mark.parametrize("path", ["hypothesis.model", "hypothesis.features"])
def test_a_run_of_another_machines_folder_is_read_here(path: str):
    record = change(make_record()[0], path, "a_folder_there")
    assert list(contradictions(record)) == []
