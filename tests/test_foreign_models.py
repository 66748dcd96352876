"""Model folders that other people's libraries cannot use: a sentence that names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.command import call
from tests.tiny_file import write_tiny
from tracer.engine.model.foreign import guarded
from tracer.engine.model.model import Model
from tracer.engine.model.tokenizer import open_tokenizer
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Silent
from tracer.errors import EXIT_USAGE, ModelUnavailable, UsageError
from tracer.hypothesis.spec import ModelSpec


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "model"))


def refused(folder: Path) -> str:
    """The one sentence, which begins with the folder or a file in it."""
    with pytest.raises(ModelUnavailable) as caught:
        Model(open_weights(ModelSpec(name=str(folder), device="cpu"), Silent()))
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert caught.value.exit_code == EXIT_USAGE
    return said


def rewrite(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"rope_parameters": {"rope_type": "magic", "rope_theta": 1e4}}, "'magic'"),
        ({"rope_parameters": ["x"]}, "rope_parameters"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": "four"}}, "TypeError"),
        ({"hidden_act": "swoosh"}, "'swoosh'"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"hidden_size": -4}, "negative dimension"),
        ({"dtype": "float7"}, "float7"),
        ({"pad_token_id": 10**6}, "Padding_idx"),
        ({"id2label": "x"}, "AttributeError"),
        ({"auto_map": 3}, "TypeError"),
        ({"model_type": "gemma3", "text_config": [1]}, "text_config"),
        ({"layer_types": ["nope", "full_attention"]}, "layer_types"),
    ],
    ids=str,
)
def test_a_config_that_transformers_cannot_use(folder: Path, changes: dict[str, Any], found: str):
    rewrite(folder, **changes)
    said = refused(folder)
    assert said.startswith(f"{folder / 'config.json'}: transformers cannot ")
    assert found in said
    assert "Save the model again, or update transformers (" in said


NESTED = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("tokenizer.json", NESTED, "tokenizer.json cannot be read: "),
        ("tokenizer.json", "[]", "tokenizer.json: not a JSON object."),
        ("tokenizer.json", "{}", "the tokenizer cannot be read from its files"),
        ("tokenizer_config.json", NESTED, "tokenizer_config.json cannot be read: "),
        ("tokenizer_config.json", "[]", "tokenizer_config.json: not a JSON object."),
        ("tokenizer_config.json", '{"tokenizer_class": 3}', "the tokenizer cannot be read"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": 3}}', "tokenizer cannot be read"),
        ("tokenizer_config.json", '{"model_max_length": "x"}', "it cannot encode a text"),
        ("special_tokens_map.json", "[]", "special_tokens_map.json: not a JSON object."),
        ("added_tokens.json", "[]", "added_tokens.json: not a JSON object."),
        ("generation_config.json", "[]", "generation_config.json: not a JSON object."),
        ("generation_config.json", NESTED, "generation_config.json cannot be read: "),
        ("generation_config.json", '{"eos', "generation_config.json cannot be read: "),
        ("config.json", "\ufeff{}", "config.json: it begins with a byte order mark, which other "),
        ("tokenizer.json", "\ufeff{}", "tokenizer.json: it begins with a byte order mark, which "),
        ("adapter_config.json", "{}", "adapter_config.json: this is an adapter, which changes "),
        ("generation_config.json", '{"eos_token_id": "x"}', "eos_token_id is 'x'; allowed is the"),
        ("model.safetensors", "no tensor in sight", "model.safetensors: the weights cannot be"),
        ("config.json", NESTED, "config.json cannot be read: "),
    ],
    ids=lambda value: value[:30],
)
def test_a_file_that_is_none(folder: Path, name: str, text: str, sentence: str):
    (folder / name).write_text(text, encoding="utf-8")
    assert sentence in refused(folder)


def test_a_config_is_named_where_the_tokenizer_needs_it(folder: Path):
    (folder / "tokenizer_config.json").unlink()
    rewrite(folder, rope_parameters=["x"])
    with pytest.raises(ModelUnavailable, match=r"config\.json: transformers cannot use this conf"):
        open_tokenizer(ModelSpec(name=str(folder)), Silent())


@pytest.mark.parametrize("name", ["tiny", "tiny_llama"])
def test_half_a_model_is_refused(name: str, tmp_path: Path, request: pytest.FixtureRequest):
    folder = Path(shutil.copytree(request.getfixturevalue(name), tmp_path / "model"))
    rewrite(folder, num_hidden_layers=1, layer_types=["full_attention"])
    said = refused(folder)
    assert "in the weights for which the model of config.json has no place" in said
    assert "model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight" in said


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_tensor_without_a_place_is_named_and_an_old_constant_is_not(folder: Path):
    def old(tensors: dict[str, Any]) -> None:
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = tensors["model.norm.weight"] + 1
        tensors["model.layers.0.attn.masked_bias"] = tensors["model.norm.weight"] + 1

    change(folder, old)
    open_weights(ModelSpec(name=str(folder), device="cpu"), Silent())
    change(folder, lambda tensors: tensors.update(v_head=tensors["model.norm.weight"] + 1))
    assert (
        "1 tensor is in the weights for which the model of config.json has no place (v_head)."
        in refused(folder)
    )


def test_whole_numbers_are_no_weights(folder: Path):
    key = "model.layers.0.mlp.up_proj.weight"
    change(folder, lambda tensors: tensors.update({key: (tensors[key] * 99).to(torch.int8)}))
    said = refused(folder)
    assert f"model.safetensors: {key} is I8; allowed are F64, F32, F16, BF16. The weights" in said


def test_other_shapes_are_named(folder: Path):
    rewrite(folder, intermediate_size=60)
    said = refused(folder)
    assert "6 tensors are of another shape in the weights than config.json asks for" in said
    assert "model.layers.0.mlp.down_proj.weight is 32 × 64 and should be 32 × 60; " in said
    assert said.endswith("; …). Correct the config.")


def test_a_model_far_larger_than_its_weights_takes_no_memory(folder: Path):
    rewrite(folder, vocab_size=2**40)
    assert "lm_head.weight is 398 × 32 and should be 1099511627776 × 32" in refused(folder)
    rewrite(folder, vocab_size=398, num_hidden_layers=2_000)
    said = refused(folder)
    assert "parameters, and the weights hold" in said
    assert "model.layers.10.input_layernorm.weight" in said


def test_our_own_sentences_and_a_stop_pass_the_guard():
    with pytest.raises(UsageError, match="^ours$"), guarded("it", "Do."):
        raise UsageError("ours")
    with pytest.raises(KeyboardInterrupt), guarded("it", "Do."):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("It broke. For details look at the above report!", "It broke"),
        ("Issues. For details look at the `CONVERSION` entries of the above report!", "Issues"),
        ("See the above report", "ValueError"),
    ],
)
def test_a_report_that_nobody_sees_is_not_pointed_to(text: str, told: str):
    with pytest.raises(ModelUnavailable) as caught, guarded("x: broken", "Do."):
        raise ValueError(text)
    assert "above report" not in str(caught.value)
    assert f"{told}). Do." in str(caught.value)


def test_an_assertion_in_rust_is_told():
    class PanicException(BaseException): ...

    with pytest.raises(ModelUnavailable) as caught, guarded("x: broken", "Do."):
        raise PanicException("called `Option::unwrap()`\non a `None` value")
    said = "x: broken (PanicException: called `Option::unwrap()` on a `None` value). Do."
    assert str(caught.value) == said


def test_the_others_of_a_command_go_on(
    folder: Path, tiny: Path, tmp_path: Path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rewrite(folder, hidden_act="swoosh")
    write_tiny(tmp_path, folder).rename("a.yaml")
    write_tiny(tmp_path, tiny).rename("b.yaml")
    done = call(capfd, "run", "a.yaml", "b.yaml", "--json", "found.json")
    assert done.code == EXIT_USAGE
    assert "Traceback" not in done.err
    found = json.loads(Path("found.json").read_text())["results"]
    assert [each["exit_code"] == EXIT_USAGE for each in found] == [True, False]

    models = ("--model", str(folder), "--model", str(tiny))
    done = call(capfd, "run", "b.yaml", *models, "--json", "matrix.json")
    assert done.code == EXIT_USAGE
    found = json.loads(Path("matrix.json").read_text())["results"]
    assert [each["exit_code"] == EXIT_USAGE for each in found] == [True, False]

    (folder / "tokenizer_config.json").write_text("[]")
    done = call(capfd, "validate", "a.yaml", "b.yaml")
    assert done.code == EXIT_USAGE
    assert "tokenizer_config.json: not a JSON object." in done.err
    assert "b.yaml: ok" in done.out
