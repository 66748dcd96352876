"""The converted model is the GGUF's, rounded to bf16 and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from heard import Heard
from tiny_models import CONTEXT, tiny_tokenizer
from toy_package import D_MODEL, MODULE, N_KV, write_package
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from tracer.engine.model.gguf import convert, join, shortest
from tracer.engine.model.ready import Memory, ready_model
from tracer.engine.progress import Silent
from tracer.errors import ModelUnavailable
from tracer.hypothesis.names import NamedModel
from tracer.hypothesis.spec import ModelSpec


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[NamedModel, Path]:
    root = tmp_path_factory.mktemp("site")
    return write_package(root), root


@pytest.fixture(scope="module")
def converted(toy: tuple[NamedModel, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("converted")
    convert(parts(toy), toy[0].package.sha256, into, Heard())
    return into


def parts(toy: tuple[NamedModel, Path]) -> list[Path]:
    return [toy[1] / MODULE.format(n) / "data" / "toy.part" for n in (1, 2)]


def from_gguf(folder: Path, file: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=file,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        attn_implementation="eager",
    )


def from_folder(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )


def test_weights_are_the_ggufs_rounded_to_bf16(
    toy: tuple[NamedModel, Path], converted: Path, tmp_path: Path
):
    join(parts(toy), toy[0].package.sha256, tmp_path / "toy.gguf", Silent())
    direct, ours = from_gguf(tmp_path, "toy.gguf"), from_folder(converted)
    rounded = {name: w.to(torch.bfloat16).float() for name, w in direct.state_dict().items()}
    found = ours.state_dict()
    assert rounded.keys() == found.keys()
    assert [name for name, weight in rounded.items() if not torch.equal(weight, found[name])] == []
    direct.load_state_dict(rounded)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(direct(ids).logits, ours(ids).logits)


def test_the_config_says_what_loaders_ask(converted: Path):
    config = json.loads((converted / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    assert config["rms_norm_eps"] == 1e-6
    assert (config["hidden_size"], config["num_key_value_heads"]) == (D_MODEL, N_KV)
    assert config["max_position_embeddings"] == CONTEXT
    assert config["dtype"] == "bfloat16"


def test_only_what_is_loaded_stays(converted: Path):
    names = {path.name for path in converted.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} < names
    assert not any(name.endswith(".gguf") for name in names)


def test_the_tokenizer_is_the_ggufs(converted: Path):
    tokenizer = AutoTokenizer.from_pretrained(converted)
    text = "The capital of Texas is 反 é"
    assert tokenizer.is_fast
    assert tokenizer(text).input_ids == tiny_tokenizer()(text).input_ids
    assert tokenizer(text).input_ids[0] == tokenizer.bos_token_id
    assert tokenizer(text, return_offsets_mapping=True).offset_mapping[2] == (3, 11)


def test_every_step_reports_and_nothing_else_speaks(
    toy: tuple[NamedModel, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    heard = Heard()
    convert(parts(toy), toy[0].package.sha256, tmp_path, heard)
    assert heard.labels == [
        "joining the model's parts, MB",
        "converting the tokenizer, once",
        "converting the weights, once",
        "writing the converted model",
    ]
    assert capfd.readouterr() == ("", "")


def test_another_file_than_expected_is_refused(toy: tuple[NamedModel, Path], tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="damaged: its SHA-256 is .* not 00.*force-reinst"):
        convert(parts(toy), "00", tmp_path, Silent())


def test_shortest():
    assert shortest(9.999999974752427e-07) == 1e-6
    assert shortest(1e-5) == 1e-5


@pytest.mark.model
def test_the_embedded_model_is_the_official_architecture():
    spec = ModelSpec(name="gemma-3-270m")
    folder = ready_model(spec, Memory("cpu", None), Silent()).folder
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["Gemma3ForCausalLM"]
    layers = ["sliding_attention"] * 5 + ["full_attention"]
    expected = {
        "sliding_window": 512,
        "layer_types": layers * 3,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 256,
        "head_dim": 256,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
        "vocab_size": 262144,
    }
    assert {key: config[key] for key in expected} == expected
    thetas = {kind: rope["rope_theta"] for kind, rope in config["rope_parameters"].items()}
    assert thetas == {"full_attention": 1_000_000.0, "sliding_attention": 10_000.0}
