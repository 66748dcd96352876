"""What a model folder must have, and what is never opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tracer.engine.model.hf_folder import INDEX, check_folder, context_length, fingerprint
from tracer.errors import ModelUnavailable


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def test_a_saved_model_passes(tiny: Path):
    check_folder(tiny)


def rewrite(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_bad_config_is_told(folder: Path):
    rewrite(folder, model_type=None)
    with pytest.raises(ModelUnavailable, match="no model_type"):
        check_folder(folder)
    rewrite(folder, model_type="llama", quantization_config={"quant_method": "gptq"})
    with pytest.raises(ModelUnavailable, match=r"quantised \(gptq\)"):
        check_folder(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelUnavailable, match="not a JSON object"):
        check_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="config.json cannot be read"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        ("pytorch_model.bin", "only pickled weights .pytorch_model.bin.*safetensors only"),
        ("model.gguf", "only GGUF weights"),
        ("notes.txt", "no weights"),
    ],
)
def test_weights_that_are_not_safetensors_are_refused(folder: Path, left: str, sentence: str):
    (folder / "model.safetensors").rename(folder / left)
    with pytest.raises(ModelUnavailable, match=sentence):
        check_folder(folder)


def test_a_missing_shard_is_named(folder: Path):
    places = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ModelUnavailable, match="names model-2.safetensors, which is missing"):
        check_folder(folder)


def test_a_missing_tokenizer_is_told(folder: Path):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnavailable, match="no tokenizer .one of tokenizer.json"):
        check_folder(folder)


def test_the_fingerprint_is_of_contents_and_not_of_the_place(tiny: Path, folder: Path):
    assert fingerprint(folder) == fingerprint(tiny)
    before = fingerprint(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    assert fingerprint(folder) != before


def test_context_length():
    assert context_length({"max_position_embeddings": 8}) == 8
    assert context_length({"text_config": {"max_position_embeddings": 9}}) == 9
    assert context_length({"n_positions": 10}) == 10
    assert context_length({}) is None
