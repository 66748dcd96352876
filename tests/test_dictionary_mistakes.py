"""Every unsound or foreign dictionary is refused in a sentence that names the file."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dictionaries import (
    CLT_CONFIG,
    CONFIG,
    N_FEATURES,
    threshold,
    write_clt,
    write_config,
    write_gemma_scope_2,
    write_gemma_scope_2_clt,
    write_npz,
    write_saelens,
    write_sparsify,
    write_transcoders,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from tracer.engine.features.formats.format import THRESHOLD
from tracer.engine.features.formats.registry import read_dictionary
from tracer.errors import TracerError


def no_hub(files):
    assert not files
    return []


def refused(folder: Path, sentence: str) -> None:
    with pytest.raises(TracerError, match=sentence) as caught:
        read_dictionary(folder, "d", no_hub)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def change(path: Path, **tensors: Tensor | None) -> None:
    """Rewrite a safetensors file with other tensors; None takes one out."""
    # Cloned, because the loaded ones are views of the file that is about to be overwritten.
    held = {key: tensor.clone() for key, tensor in load_file(path).items()}
    held |= {key: tensor for key, tensor in tensors.items() if tensor is not None}
    save_file({key: each for key, each in held.items() if tensors.get(key, each) is each}, path)


BAD = torch.zeros(3)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"W_dec": torch.zeros(N_FEATURES, 31)}, "'W_dec' has shape 24 × 31, expected 24 × 32"),
        ({"b_enc": BAD}, "'b_enc' has shape 3, expected 24"),
        ({"W_enc": torch.zeros(0, 32)}, "'W_enc' has shape 0 × 32, expected any × any"),
        (
            {"W_enc": torch.zeros(24, 32, dtype=torch.int8)},
            "'W_enc' is int8; allowed are bfloat16,",
        ),
        ({"b_dec": torch.zeros(32, dtype=torch.int64)}, "'b_dec' is int64; allowed"),
        ({"W_skip": torch.zeros(32, 3)}, "'W_skip' has shape 32 × 3, expected 32 × 32"),
        ({"W_dec": None}, "no tensor 'W_dec'; it holds 'W_enc', 'b_dec', 'b_enc'"),
        ({"k": torch.zeros(2)}, "'k' must be one whole number"),
        ({"k": torch.tensor(25)}, "TopK needs a k from 1 to 24; found 25"),
    ],
)
def test_wrong_tensors(tmp_path: Path, tensors: dict[str, Tensor | None], sentence: str):
    folder = write_transcoders(tmp_path / "d")
    change(folder / "layer_1.safetensors", **tensors)
    refused(folder, rf"layer_1\.safetensors: {sentence}")


def test_a_missing_layer_is_named(tmp_path: Path):
    folder = write_transcoders(tmp_path / "d", n_layers=4)
    (folder / "layer_2.safetensors").unlink()
    refused(folder, "layers 0 to 3 are needed, but 2 is missing")
    (folder / "layer_0.safetensors").unlink()
    refused(folder, "layers 0 to 3 are needed, but 0, 2 are missing")
    for file in folder.glob("layer_*"):
        file.unlink()
    refused(folder, r"no layer_0\.safetensors, …: the weights are missing")


def test_a_huge_layer_number_is_no_loop(tmp_path: Path):
    folder = write_transcoders(tmp_path / "d")
    (folder / "layer_0.safetensors").rename(folder / "layer_9999.safetensors")
    refused(folder, "0, 2, 3, 4, 5 and 9993 more are missing")


def test_cross_layer_files_must_be_complete(tmp_path: Path):
    folder = write_clt(tmp_path / "d", 3)
    (folder / "W_dec_2.safetensors").unlink()
    refused(folder, r"W_dec_2\.safetensors: there is no such file")
    (folder / "W_enc_2.safetensors").unlink()
    refused(folder, r"'W_dec_0' has shape 24 × 3 × 32, expected 24 × 2 × 32")
    two = write_gemma_scope_2_clt(tmp_path / "two", 3)
    names = [f"params_layer_{layer}.safetensors" for layer in range(2)]
    write_config(two, CLT_CONFIG | {"transcoders": names})
    refused(two, r"'w_dec' has shape 24 × 3 × 32, expected 24 × 2 × 32")


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_files_that_are_cut_off(tmp_path: Path, kept: int):
    folder = write_transcoders(tmp_path / "d")
    path = folder / "layer_0.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, r"layer_0\.safetensors cannot be read")


def gemma_scope_of(tmp_path: Path, write: Callable[[Path], object]) -> Path:
    folder = write_config(tmp_path / "d", CONFIG | {"transcoders": ["params.npz"]})
    write(folder / "params.npz")
    return folder


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda path: path.write_bytes(pickle.dumps({"W_enc": 1})), "no npz archive; pickles"),
        (lambda path: np.savez(path, W_enc=np.array([{}])), r"W_enc\.npy holds Python objects"),
        (lambda path: np.savez_compressed(path, W_enc=np.zeros(3)), "is compressed; write it with"),
        (lambda path: np.savez(path, W_enc=np.array(["x"])), r"W_enc\.npy is <U1; allowed are"),
        (lambda path: np.savez(path, W_enc=np.zeros((0, 4))), "is empty or cut off"),
        (lambda path: np.savez(path, W_enc=np.zeros((3, 4))), "no tensor 'threshold'"),
    ],
)
def test_npz_files_that_are_no_arrays(tmp_path: Path, write: Any, sentence: str):
    refused(gemma_scope_of(tmp_path, write), rf"params\.npz.*{sentence}")


def test_an_npz_that_claims_more_than_it_holds(tmp_path: Path):
    folder = gemma_scope_of(tmp_path, lambda path: write_npz(path, 0))
    path = folder / "params.npz"
    content = path.read_bytes()
    for old in (b"(24, 32)", b"(32, 24)"):
        content = content.replace(old, b"(4e9, 9)" if old[1:3] == b"24" else b"(99, 99)")
    path.write_bytes(content)
    refused(folder, r"params\.npz cannot be read")


@pytest.mark.parametrize(
    "entry", ["../layer_0.safetensors", "/etc/passwd.npz", "a/../../b.npz", "..\\x.npz", "a\0.npz"]
)
def test_paths_that_lead_out_of_the_folder(tmp_path: Path, entry: str):
    folder = write_config(tmp_path / "d", CONFIG | {"transcoders": [entry]})
    refused(folder, "leads out of the folder; allowed are paths inside it and hf://")


WRITERS: dict[str, Callable[[Path], object]] = {
    "config.yaml": lambda folder: write_transcoders(folder),
    "layer_1.safetensors": lambda folder: write_transcoders(folder),
    "W_dec_0.safetensors": lambda folder: write_clt(folder),
    "part_0/sae_weights.safetensors": lambda folder: write_saelens(folder),
    "part_1/cfg.json": lambda folder: write_saelens(folder),
    "layers.1.mlp/sae.safetensors": lambda folder: write_sparsify(folder),
    "layer_0_width_16k_l0_small_affine/params.safetensors": lambda folder: write_gemma_scope_2(
        folder
    ),
    "params.npz": lambda folder: gemma_scope_of(folder.parent, lambda path: write_npz(path, 0)),
}


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, name: str, kind: str):
    WRITERS[name](tmp_path / "d")
    [path] = tmp_path.glob(f"*/{name}")
    path.unlink()
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(TracerError, match=f"{path.name}: this is not a regular file"):
        read_dictionary(path.parents[name.count("/")], "d", no_hub)


@pytest.mark.parametrize("uri", ["hf://a/b", "hf://a/../b/c", "https://x/y/z.npz", "hf://a/b/*"])
def test_addresses_that_are_none(tmp_path: Path, uri: str):
    folder = write_config(tmp_path / "d", CONFIG | {"transcoders": [uri]})
    refused(folder, "is no address of a file on the hub")


def test_other_kinds_of_file(tmp_path: Path):
    folder = write_config(tmp_path / "d", CONFIG | {"transcoders": ["layer_0.pt"]})
    refused(folder, r"only \.safetensors and \.npz files are read, never pickles")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_kind": "sae"}, "model_kind: Input should be 'transcoder_set' or"),
        ({"feature_input_hook": "hook_resid_pre"}, "feature_input_hook is 'hook_resid_pre'; all"),
        ({"feature_output_hook": 3}, "feature_output_hook: Input should be a valid string"),
        ({"activation": "gelu"}, "activation: Input should be 'relu', 'topk' or 'jump_relu'"),
        ({"activation": "topk"}, "TopK needs a k from 1 to 24; found None"),
        ({"activation": "topk", "k": 10**30}, "k: Input should be a valid integer|found 1000"),
        ({"activation": "topk", "k": 0}, "k: Input should be greater than or equal to 1"),
        ({"activation": "jump_relu"}, "has no threshold, but the configuration says"),
        ({"transcoders": []}, "transcoders: List should have at least 1 item"),
        ({"transcoders": "x"}, "transcoders: Input should be a valid list"),
    ],
)
def test_configurations(tmp_path: Path, changes: dict[str, Any], sentence: str):
    refused(write_transcoders(tmp_path / "d", config=CONFIG | changes), sentence)


def test_thresholds_contradict_relu_and_k_contradicts_k(tmp_path: Path):
    config = CONFIG | {"activation": "relu"}
    more = {THRESHOLD: threshold}
    folder = write_transcoders(tmp_path / "d", config=config, more=more)
    refused(folder, "has a threshold, but the configuration says activation: relu")
    config = CONFIG | {"activation": "topk", "k": 4}
    folder = write_transcoders(tmp_path / "k", config=config, more={"k": lambda _: torch.tensor(3)})
    refused(folder, "k is 3 here and 4 in the configuration")
    write_config(write_clt(tmp_path / "c"), CLT_CONFIG | {"activation": "topk", "k": 3})
    refused(tmp_path / "c", "has a threshold, but the configuration says activation: topk")
    folder = write_clt(tmp_path / "many", activation="topk", k=25)
    refused(folder, r"W_enc_0\.safetensors: TopK needs a k from 1 to 24; found 25")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 10_000, "nested deeper than 40 levels|not valid YAML"),
        ("a: &a [*a]", "not|alias|nest"),
        ("!!python/object/apply:os.system [ls]", "tag"),
        ("just text", "is no mapping of keys"),
        ("", "is no mapping of keys"),
        ("x" * (2 << 20), "larger than 1 MiB"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_hostile_yaml(tmp_path: Path, text: str | bytes, sentence: str):
    folder = write_transcoders(tmp_path / "d")
    (folder / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TracerError, match=sentence):
        read_dictionary(folder, "d", no_hub)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "3", "\0", '{"a": NaN}'])
def test_hostile_json(tmp_path: Path, text: str):
    folder = write_saelens(tmp_path / "d")
    (folder / "part_0" / "cfg.json").write_text(text)
    with pytest.raises(TracerError, match=r"cfg\.json"):
        read_dictionary(folder, "d", no_hub)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "standard"}, "architecture: Input should be 'transcoder', 'skip_"),
        ({"d_out": 31}, "'W_skip' has shape 32 × 32, expected 31 × 32"),
        ({"d_sae": 25}, "'threshold' has shape 24, expected 25"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations: Input should be 'none'"),
        ({"metadata": {"hook_name": "x"}}, "hook_name_out: Field required"),
        ({"metadata": {"hook_name": "x", "hook_name_out": "y"}}, "'x', which names no layer"),
        (
            {"metadata": {"hook_name": "blocks.0.a", "hook_name_out": "blocks.1.b"}},
            "it reads layer 0 and writes layer 1",
        ),
        (
            {"metadata": {"hook_name": "blocks.0.hook_mlp_in", "hook_name_out": "blocks.0.b"}},
            "hook_name is 'hook_mlp_in'; allowed are",
        ),
    ],
)
def test_saelens_configurations(tmp_path: Path, changes: dict[str, Any], sentence: str):
    refused(write_saelens(tmp_path / "d", **changes), sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"transcode": False, "skip_connection": False}, "this is an autoencoder; only transcod"),
        ({"activation": "groupmax"}, "activation: Input should be 'topk'"),
        ({"signed": True}, "signed: Input should be False"),
        ({"d_in": 31}, "'encoder.weight' has shape 24 × 32, expected any × 31"),
        ({"k": 25}, "TopK needs a k from 1 to 24; found 25"),
        ({"prefix": "layers.1"}, "its name is that of the module it was trained on; only MLPs"),
    ],
)
def test_sparsify_configurations(tmp_path: Path, changes: dict[str, Any], sentence: str):
    refused(write_sparsify(tmp_path / "d", **changes), sentence)


def test_one_layer_twice(tmp_path: Path):
    hooks = {"hook_name": "blocks.0.mlp.hook_in", "hook_name_out": "blocks.0.mlp.hook_out"}
    refused(write_saelens(tmp_path / "d", metadata=hooks), "layer 0 is there twice, the second")
    folder = write_sparsify(tmp_path / "three")
    (folder / "layers.1.mlp").rename(folder / "h.0.mlp")
    refused(folder, r"layer 0 is there twice, in h\.0\.mlp and layers\.0\.mlp")
    folder = write_gemma_scope_2(tmp_path / "two")
    part = next(folder.iterdir())
    other = folder / "layer_0_width_65k"
    other.mkdir()
    for file in part.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    refused(folder, "is there twice, .*; keep one width and sparsity per folder")


def test_an_autoencoder_is_no_transcoder(tmp_path: Path):
    folder = write_gemma_scope_2(tmp_path / "d", ("output", "output"))
    refused(folder, r"hf_hook_point_in is 'model\.layers\.[01]\.output'; a transcoder of an MLP")


def test_folders_that_hold_no_dictionary(tmp_path: Path):
    refused(tmp_path, r"no dictionary: it has no config\.yaml")
    (tmp_path / "sae.pt").write_bytes(b"")
    refused(tmp_path, r"only pickled weights \(sae\.pt\)")
    write_npz(tmp_path / "layer_0" / "params.npz", 0)
    refused(tmp_path, r"the weights are there but no config\.yaml")
