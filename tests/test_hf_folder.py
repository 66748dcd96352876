"""What a model folder must have, and what is never opened."""

from __future__ import annotations

import json
import os
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


def write_index(folder: Path, places: object, **more: object) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places} | more))


def test_a_missing_shard_is_named(folder: Path):
    write_index(folder, {"a": "model.safetensors", "b": "model-2.safetensors"})
    with pytest.raises(ModelUnavailable, match="model-2.safetensors: .* names this file, which is"):
        check_folder(folder)
    (folder / "model-2.safetensors").mkdir()
    with pytest.raises(ModelUnavailable, match="model-2.safetensors: this is not a regular file"):
        check_folder(folder)


@pytest.mark.parametrize(
    "name", ["../tiny/model.safetensors", "/etc/passwd", "a/../../b", "..\\b", "C:b", "", 7, None]
)
def test_weights_outside_of_the_folder_are_refused(folder: Path, name: object):
    write_index(folder, {"a": name})
    with pytest.raises(ModelUnavailable, match=r"index.json: weight_map names .*; allowed are pat"):
        check_folder(folder)
    (folder / INDEX).unlink()
    if name is not None:
        rewrite(folder, transformers_weights=name)
        with pytest.raises(ModelUnavailable, match=r"config.json: transformers_weights names"):
            check_folder(folder)


@pytest.mark.parametrize("places", [None, [], {}, ["model.safetensors"], "model.safetensors"])
def test_an_index_without_places_is_told(folder: Path, places: object):
    write_index(folder, places)
    with pytest.raises(ModelUnavailable, match="index.json: no sound index"):
        check_folder(folder)
    write_index(folder, {"a": "model.safetensors"}, metadata=None)
    with pytest.raises(ModelUnavailable, match="index.json: no sound index"):
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


def changed_at(folder: Path, name: str) -> bool:
    """Whether the fingerprint changes with a byte of a file in the folder."""
    path = folder / name
    before, content = fingerprint(folder), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return fingerprint(folder) != before


def test_a_file_that_changes_in_its_place_is_read_again(folder: Path):
    """Even where its size and the time of its last change are as they were."""
    path = folder / "config.json"
    before, content, times = fingerprint(folder), path.read_bytes(), path.stat()
    path.write_bytes(content.replace(b"gelu", b"geLu", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size and fingerprint(folder) != before
    path.write_bytes(content)
    assert fingerprint(folder) == before


def test_the_fingerprint_is_of_every_shard_wherever_it_lies(folder: Path):
    (folder / "shards" / "deep").mkdir(parents=True)
    for name in ("shards/one.safetensors", "shards/deep/two.safetensors"):
        (folder / name).write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").unlink()
    write_index(folder, {"a": "shards/one.safetensors", "b": "shards/deep/two.safetensors"})
    check_folder(folder)
    assert changed_at(folder, "shards/one.safetensors")
    assert changed_at(folder, "shards/deep/two.safetensors")
    (folder / "shards" / "unused.safetensors").write_bytes(b"x")
    assert not changed_at(folder, "shards/unused.safetensors")


@pytest.mark.parametrize("named", ["v2/other.safetensors", "v2/other.safetensors.index.json"])
def test_the_fingerprint_is_of_the_weights_that_the_config_names(folder: Path, named: str):
    (folder / "v2").mkdir()
    (folder / "v2" / "other.safetensors").write_bytes(b"weights")
    index = {"metadata": {}, "weight_map": {"a": "v2/other.safetensors"}}
    (folder / "v2" / "other.safetensors.index.json").write_text(json.dumps(index))
    rewrite(folder, transformers_weights=named)
    check_folder(folder)
    assert changed_at(folder, "v2/other.safetensors")


def test_the_fingerprint_is_of_further_chat_templates(folder: Path):
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    assert changed_at(folder, "additional_chat_templates/tools.jinja")


def put(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "model.safetensors",
        "merges.txt",
        "chat_template.jinja",
        INDEX,
    ],
)
def test_what_is_no_regular_file_is_not_opened(folder: Path, name: str, kind: str):
    put(folder / name, kind)
    with pytest.raises(ModelUnavailable, match=f"{name}: this is not a regular file"):
        check_folder(folder)


def test_a_shard_that_is_no_regular_file_is_not_opened(folder: Path):
    (folder / "shards").mkdir()
    put(folder / "shards" / "one.safetensors", "pipe")
    write_index(folder, {"a": "shards/one.safetensors"})
    with pytest.raises(ModelUnavailable, match="one.safetensors: .* is not a regular file"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["config.json", INDEX])
def test_json_without_bounds_is_refused(folder: Path, name: str):
    (folder / name).write_text("[" * 200_000)
    with pytest.raises(ModelUnavailable, match=f"{name} cannot be read: "):
        check_folder(folder)
    with (folder / name).open("wb") as file:
        file.truncate(2**34)  # a hole, which takes no room
    with pytest.raises(ModelUnavailable, match=f"{name}: larger than 64 MiB"):
        check_folder(folder)


def test_more_layers_than_any_model_has_are_refused(folder: Path):
    rewrite(folder, num_hidden_layers=10**9)
    with pytest.raises(ModelUnavailable, match=r"num_hidden_layers is 1e\+09; up to 10,000"):
        check_folder(folder)


def test_context_length():
    for wrong in ("many", [8], True, -1, 0, float("nan"), float("inf"), None):
        assert context_length({"max_position_embeddings": wrong, "n_ctx": 12}) == 12
    assert context_length({"text_config": ["a list"], "n_ctx": 12}) == 12
    assert context_length({"max_position_embeddings": 8}) == 8
    assert context_length({"text_config": {"max_position_embeddings": 9}}) == 9
    assert context_length({"n_positions": 10}) == 10
    assert context_length({}) is None
