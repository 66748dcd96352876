"""From a name to a basis that fits the model, or to a sentence on why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from dictionaries import (
    CONFIG,
    D_MODEL,
    random,
    skip,
    transcoder,
    write_clt,
    write_config,
    write_npz,
    write_saelens,
    write_sparsify,
    write_transcoders,
)
from heard import Heard
from safetensors.torch import save_file

from tracer.engine.features.basis import ReLU
from tracer.engine.features.dictionary import Dictionary, DictionaryBasis
from tracer.engine.features.formats import registry
from tracer.engine.features.formats.format import Fetch, Format, layer_weights
from tracer.engine.features.formats.registry import hub_patterns
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.features.tensor_files import open_tensors
from tracer.engine.model import hub
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site
from tracer.engine.model.weights import open_weights
from tracer.errors import ModelUnavailable, TracerError, UsageError
from tracer.hypothesis.named_dictionaries import DICTIONARIES, NamedDictionary, published_k
from tracer.hypothesis.names import HubFile, parse_hub_folder
from tracer.hypothesis.spec import ModelSpec

COMMIT = "0" * 40


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return Model(open_weights(ModelSpec(name=str(tiny)), Heard()))


def test_neurons_have_no_dictionary(model: Model):
    opened = open_basis("neurons", model, Heard())
    assert isinstance(opened.basis, NeuronBasis)
    assert opened[1:] == ("neurons", None, None, None)


def test_a_folder_becomes_a_basis_that_the_model_can_feed(model: Model, tmp_path: Path):
    folder = write_transcoders(tmp_path / "d", more={"W_skip": skip})
    opened = open_basis(str(folder), model, Heard())
    basis = opened.basis
    assert isinstance(basis, DictionaryBasis)
    assert (opened.source, opened.revision) == (str(folder), None)
    assert opened.fingerprint is not None and len(opened.fingerprint) == 64
    seen: list[torch.Tensor] = []
    model.clean(torch.tensor([[2, 300, 301]]), [(basis.read_site(1), seen.append)])
    acts = basis.encode(1, seen[0])
    weights = transcoder(1)
    expected = (seen[0] @ weights["W_enc"].T + weights["b_enc"]).clamp(min=0)
    torch.testing.assert_close(acts, expected, atol=1e-4, rtol=0)


def test_a_cross_layer_folder_becomes_its_basis(model: Model, tmp_path: Path):
    basis = open_basis(str(write_clt(tmp_path / "d")), model, Heard()).basis
    assert isinstance(basis, DictionaryBasis)
    assert [basis.write_layers(layer) for layer in range(2)] == [range(2), range(1, 2)]


def test_dictionaries_of_another_model(model: Model, tmp_path: Path):
    three = write_clt(tmp_path / "three", 3)
    sentence = "three has cross-layer transcoders for 3 layers, model .* has 2: it belongs to"
    with pytest.raises(UsageError, match=sentence):
        open_basis(str(three), model, Heard())
    narrow = write_config(tmp_path / "narrow", CONFIG)
    for layer in range(2):
        tensors = {"W_enc": random(4, 8, seed=0), "W_dec": random(4, 8, seed=1)}
        tensors |= {"b_enc": torch.zeros(4), "b_dec": torch.zeros(8)}
        save_file(tensors, narrow / f"layer_{layer}.safetensors")
    with pytest.raises(UsageError, match=f"reads vectors of width 8, model .* has {D_MODEL}"):
        open_basis(str(narrow), model, Heard())


def test_a_model_without_the_hook_point(model: Model, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(model, "_names", set())
    with pytest.raises(ModelUnavailable, match="features: .*d needs mlp_in, mlp_resid, which"):
        open_basis(str(write_transcoders(tmp_path / "d")), model, Heard())


def test_a_registered_name_suits_its_models_only(model: Model, monkeypatch: Any):
    sentence = "'clt-llama-3.2-1b-524k' are for meta-llama/Llama-3.2-1B; this model is .*name the "
    with pytest.raises(UsageError, match=sentence + "repository: mntss/clt-llama-3.2-1b-524k"):
        open_basis("clt-llama-3.2-1b-524k", model, Heard())
    record = model.record.model_copy(update={"name": "gemma-3-270m"})
    monkeypatch.setattr(model, "record", record)
    name = "gemma-scope-2-270m-pt-transcoder-width-16k-l0-small"
    with pytest.raises(ModelUnavailable, match="mwhanna/gemma-scope-2-270m-pt is not in the hub's"):
        open_basis(name, model, Heard())


def test_registered_dictionaries_have_an_address():
    for entry in DICTIONARIES.values():
        place = HubFile(entry.repo, entry.folder, None)
        assert parse_hub_folder(entry.address) == place


def test_a_registered_dictionary_is_as_large_as_published(
    model: Model, fake_hub: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    named = NamedDictionary("tiny-set", "org/set", (model.record.name,), 2, 24, "small")
    monkeypatch.setitem(DICTIONARIES, "tiny-set", named)
    assert open_basis("tiny-set", model, Heard()).source == "org/set/small"
    monkeypatch.setitem(DICTIONARIES, "tiny-set", named._replace(n_features=None))
    open_basis("tiny-set", model, Heard())
    for wrong, tells in (
        ({"n_layers": 3}, "of 3 of 24"),
        ({"n_features": 16384}, "of 2 of 16,384"),
    ):
        monkeypatch.setitem(DICTIONARIES, "tiny-set", named._replace(**wrong))
        sentence = (
            f"org/set/small has 2 layers of 24 features here, where its publisher tells {tells}"
        )
        with pytest.raises(UsageError, match=sentence):
            open_basis("tiny-set", model, Heard())


def test_a_k_that_only_code_tells(tmp_path: Path):
    name = "transcoder-llama-3.1-8b-instruct"
    folder = write_transcoders(tmp_path / "d", config=CONFIG | {"activation": "topk"})
    for called in (name, DICTIONARIES[name].address, f"{DICTIONARIES[name].address}@main"):
        assert published_k(called) == 128
        with pytest.raises(UsageError, match="TopK needs a k from 1 to 24; found 128"):
            registry.read_dictionary(folder, called, list)
    assert published_k("clt-gpt-oss-20b-131k") is published_k("./mine") is None


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("org/repo", HubFile("org/repo", "", None)),
        ("org/repo@v1", HubFile("org/repo", "", "v1")),
        ("org/repo/a/b_1@refs/pr/1", HubFile("org/repo", "a/b_1", "refs/pr/1")),
        ("hf://org/repo/a?revision=x", HubFile("org/repo", "a", "x")),
        ("org/../repo", None),
        ("org", None),
        ("org/a--b", None),
        ("hf://org/repo.git", None),
        ("org/repo/*", None),
        ("org/repo\n", None),
        ("o/" + "r" * 600, None),
    ],
)
def test_addresses(name: str, place: HubFile | None):
    assert parse_hub_folder(name) == place


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("neuron", r"unknown features 'neuron'. Did you mean 'neurons'\? Known names: neurons, ge"),
        ("a b", "unknown features 'a b'. Known names"),
        ("x" * 9000, "unknown features 'xxx"),
        ("a\0b", "unknown features"),
        ("./nowhere", r"features './nowhere': no such folder"),
    ],
)
def test_names_that_are_none(model: Model, name: str, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        open_basis(name, model, Heard())


def test_the_real_hub_client_offline(model: Model):
    with pytest.raises(ModelUnavailable, match="org/name is not in the hub's cache"):
        open_basis("org/name/folder@v1", model, Heard())


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A hub with a dictionary in a folder of one repository that names files of another."""
    asked: list[dict[str, Any]] = []
    names = [f"layer_{n}/params.npz" for n in range(2)]
    entries = [f"hf://google/scope/{name}?revision=v2" for name in names]
    hooks = {"feature_input_hook": "ln2.hook_normalized", "transcoders": entries}
    write_config(tmp_path / "org/set" / COMMIT / "small", CONFIG | hooks)
    for layer, name in enumerate(names):
        write_npz(tmp_path / "google/scope" / COMMIT / name, layer)

    def snapshot(repo: str, *, dry_run: bool = False, **how: Any) -> str | list[object]:
        if dry_run:
            return []
        asked.append({"repo": repo, **how})
        return str(tmp_path / repo / COMMIT)

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", snapshot)
    return asked


def test_a_download_asks_each_repository_once(model: Model, fake_hub: list[dict[str, Any]]):
    heard = Heard()
    opened = open_basis("org/set/small@v1", model, heard)
    assert (opened.source, opened.revision) == ("org/set/small", COMMIT)
    assert [asked["repo"] for asked in fake_hub] == ["org/set", "google/scope"]
    assert [asked["revision"] for asked in fake_hub] == ["v1", "v2"]
    patterns = fake_hub[0]["allow_patterns"]
    assert "small/config.yaml" in patterns
    assert all(each.startswith("small/") for each in patterns)
    assert fake_hub[0]["ignore_patterns"] == "small/*/*"
    assert fake_hub[1]["allow_patterns"] == [f"layer_{n}/params.npz" for n in range(2)]
    assert heard.labels[:2] == ["asking the hub about org/set", "getting org/set from the hub"]
    with pytest.raises(UsageError, match="org/set has no dictionary in 'large'"):
        open_basis("org/set/large", model, heard)


def test_layers_in_subfolders_are_fetched_where_the_folder_has_none(
    model: Model, fake_hub: list[dict[str, Any]], tmp_path: Path
):
    """Also where a killed download left some of them."""
    write_sparsify(tmp_path / "org/sparse" / COMMIT)
    opened = open_basis("org/sparse", model, Heard())
    assert opened.basis.output_site(1) == Site("mlp_out", 1)
    assert [asked["repo"] for asked in fake_hub] == ["org/sparse"] * 2
    assert fake_hub[0]["ignore_patterns"] == "*/*"
    assert fake_hub[1]["ignore_patterns"] is None
    assert {"layers.*.mlp/cfg.json", "h.*.mlp/sae.safetensors"} <= {*fake_hub[1]["allow_patterns"]}


def test_saelens_folders_open_too(model: Model, tmp_path: Path):
    basis = open_basis(str(write_saelens(tmp_path / "d")), model, Heard()).basis
    assert basis.read_site(0).kind == "ln2_normalized"


def read_toy(folder: Path, name: str, fetch: Fetch) -> Dictionary:
    """Every layer in a file of its own, and a `toy.txt` that says how many there are."""
    n_layers = int((folder / "toy.txt").read_text())
    files = [folder / f"{layer}.safetensors" for layer in range(n_layers)]
    opened = [open_tensors(file) for file in files]
    layers = [layer_weights(file, file.tensors["W_enc"], "W_dec", ReLU(), None) for file in opened]
    return Dictionary(name, "transcoders", "mlp_in", "mlp_resid", tuple(layers), tuple(files))


TOY = Format(
    name="Toy",
    marker="toy.txt",
    is_here=lambda folder: (folder / "toy.txt").is_file(),
    read=read_toy,
    hub_patterns=("toy.txt", "[0-9].safetensors"),
    bare_weights=("[0-9].safetensors",),
    bare_reason="toys without a toy.txt.",
)


def test_a_format_is_added_by_its_entry_in_the_registry(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, TOY))
    assert hub_patterns()[-2:] == TOY.hub_patterns
    with pytest.raises(UsageError, match=r"\(SAELens\), .* or toy\.txt \(Toy\)\.$"):
        open_basis(str(tmp_path), model, Heard())
    for layer in range(2):
        save_file(transcoder(layer), tmp_path / f"{layer}.safetensors")
    with pytest.raises(UsageError, match=r"toys without a toy\.txt\.$"):
        open_basis(str(tmp_path), model, Heard())
    (tmp_path / "toy.txt").write_text("2")
    basis = open_basis(str(tmp_path), model, Heard()).basis
    index = torch.tensor([3, 0])
    torch.testing.assert_close(basis.W_dec(1, index, 1), transcoder(1)["W_dec"][index])


def test_mistakes_are_the_users(model: Model, tmp_path: Path):
    with pytest.raises(TracerError) as caught:
        open_basis(str(tmp_path), model, Heard())
    assert caught.value.exit_code == 4
