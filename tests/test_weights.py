"""The door: a spec in, a loaded model with its record out; every refusal a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from heard import Heard
from safetensors.torch import load_file, save_file
from tiny_models import CONTEXT
from toy_package import write_package
from transformers import AutoModelForCausalLM

from tracer.engine.model import weights
from tracer.engine.model.sources import locate
from tracer.engine.model.tokenizer import open_tokenizer
from tracer.engine.model.weights import choose_device, open_weights
from tracer.engine.progress import Silent
from tracer.errors import ModelUnavailable, UsageError
from tracer.hypothesis.names import MODELS, NamedModel
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.vocabulary import read_text, token_text


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModel:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    named = write_package(tmp_path / "site")
    monkeypatch.setitem(MODELS, "toy", named)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return named


def spec(name: str | Path, **more: str) -> ModelSpec:
    return ModelSpec.model_validate({"name": str(name), "device": "cpu"} | more)


def test_a_folder_opens_frozen_eager_and_on_record(tiny: Path):
    opened = open_weights(spec(tiny, dtype="float64"), Silent())
    model = opened.hf_model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert model.config._attn_implementation == "eager"
    record = opened.record
    assert (record.architecture, record.n_layers, record.d_model) == ("Gemma3ForCausalLM", 2, 32)
    assert record.d_vocab == len(opened.tokenizer)
    assert (record.source, record.revision, record.dtype) == (str(tiny), None, "float64")
    assert len(record.fingerprint) == 64


def test_logits_are_hugging_faces(tiny: Path, tiny_llama: Path):
    for each in (tiny, tiny_llama):
        opened = open_weights(spec(each), Silent())
        theirs = AutoModelForCausalLM.from_pretrained(each, attn_implementation="eager")
        ids = torch.tensor([opened.tokenizer("the capital of Texas is").input_ids])
        with torch.no_grad():
            assert torch.equal(opened.hf_model(ids).logits, theirs(ids).logits)


def test_a_package_is_converted_once_then_found(toy: NamedModel):
    first, second = Heard(), Heard()
    record = open_weights(spec("toy"), first).record
    assert record.fingerprint == toy.package.sha256
    assert record.source.startswith("package toy-gguf")
    assert any("converted once" in note for note in first.notes)
    assert open_weights(spec("toy"), second).record == record
    assert not any("converting" in label for label in second.labels)
    assert locate(spec("toy")).state == "ready"


def test_a_damaged_conversion_is_told_and_made_again(toy: NamedModel, tmp_path: Path):
    open_tokenizer(spec("toy"), Silent())
    [stored] = (tmp_path / "cache").rglob("model.safetensors")
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    open_tokenizer(spec("toy"), Silent())
    assert stored.read_bytes() != whole
    heard = Heard()
    open_weights(spec("toy"), heard)
    assert any("contents of model.safetensors have changed" in note for note in heard.notes)
    assert stored.read_bytes() == whole


def test_a_damaged_package_leaves_nothing_behind(toy: NamedModel, tmp_path: Path):
    [part] = (tmp_path / "site").glob("*1/data/toy.part")
    part.write_bytes(b"x" + part.read_bytes()[1:])
    with pytest.raises(ModelUnavailable, match="damaged: its SHA-256 is"):
        open_weights(spec("toy"), Silent())
    models = tmp_path / "cache" / "tracer" / "models"
    assert [path for path in models.iterdir() if path.suffix != ".lock"] == []
    assert locate(spec("toy")).state == "to convert"


def test_the_tokenizer_alone_comes_with_the_context(tiny: Path):
    opened = open_tokenizer(spec(tiny), Silent())
    assert opened.context == CONTEXT
    assert opened.tokenizer(" Austin").input_ids[1:] == [
        opened.tokenizer.convert_tokens_to_ids("ĠAustin")
    ]


def test_an_architecture_that_is_no_language_model_is_refused(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "clip"}))
    with pytest.raises(ModelUnavailable, match="'clip' is no causal language model"):
        open_weights(spec(folder), Silent())


def test_missing_tensors_are_not_made_up(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.mlp.down_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="1 tensor is missing .*layers.0.mlp.down_proj"):
        open_weights(spec(folder), Silent())


def test_unreadable_weights_are_told(folder: Path):
    (folder / "model.safetensors").write_bytes(b"not a tensor in sight")
    with pytest.raises(ModelUnavailable, match="the weights cannot be loaded"):
        open_weights(spec(folder), Silent())


def test_an_unreadable_tokenizer_is_told(folder: Path):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="the tokenizer cannot be read"):
        open_tokenizer(spec(folder), Silent())


def test_devices(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(weights.torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == choose_device("cpu:0") == torch.device("cpu")
    with pytest.raises(UsageError, match=r"'cuda:1' is not here: 0 cuda device\(s\) found"):
        choose_device("cuda:1")
    with pytest.raises(UsageError, match="'gpu' is not known; choose auto, cpu, cuda"):
        choose_device("gpu")
    with pytest.raises(UsageError, match="'xpu' is not supported"):
        choose_device("xpu")
    monkeypatch.setattr(weights.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(weights.torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.model
def test_the_embedded_model_answers():
    opened = open_weights(spec("gemma-3-270m"), Silent())
    tokenizer = opened.tokenizer
    prompt = "Michael Jordan plays the sport of"
    read = read_text(prompt, tokenizer)
    assert read.ids[0] == 2
    assert [prompt[a:b] for a, b in read.offsets][1:3] == ["Michael", " Jordan"]
    assert tokenizer.chat_template is None
    with torch.no_grad():
        logits = opened.hf_model(torch.tensor([read.ids]), logits_to_keep=1).logits[0, -1]
    assert token_text(int(logits.argmax()), tokenizer) == " basketball"
    assert float(logits.softmax(-1).max()) == pytest.approx(0.76, abs=0.02)


def test_a_model_larger_than_all_memory_is_told_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    stored = (folder / "model.safetensors").stat().st_size
    monkeypatch.setattr(weights, "main_memory", lambda: 2 * stored - 1)
    heard = Heard()
    wide = spec(folder).model_copy(update={"dtype": "float64"})
    with pytest.raises(ModelUnavailable) as caught:
        open_weights(wide, heard)
    assert str(caught.value) == (
        f"{folder}: its weights take 0.0 GB in float64, and cpu has 0.0 GB of memory in all. "
        "`--dtype bfloat16` takes 0.0 GB. Use a smaller model, or a machine with more memory."
    )
    assert heard.labels == []
    assert open_weights(spec(folder), heard).record.dtype == "float32"
