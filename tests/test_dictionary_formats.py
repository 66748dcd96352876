"""The same random transcoders come back from every format, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dictionaries import (
    CONFIG,
    skip,
    threshold,
    transcoder,
    write_config,
    write_gemma_scope_2,
    write_npz,
    write_saelens,
    write_sparsify,
    write_transcoders,
)
from safetensors.torch import load_file, save_file

from tracer.engine.features.basis import JumpReLU, ReLU, TopK
from tracer.engine.features.dictionary import Dictionary, fingerprint
from tracer.engine.features.formats.format import THRESHOLD
from tracer.engine.features.formats.registry import read_dictionary
from tracer.engine.features.layer_weights import LayerWeights
from tracer.hypothesis.names import HubFile


def no_hub(files):
    assert not files
    return []


def write_gemma_scope(folder: Path) -> Path:
    names = [f"layer_{n}/width_16k/params.npz" for n in range(2)]
    for layer, name in enumerate(names):
        write_npz(folder / name, layer)
    hooks = {"feature_input_hook": "ln2.hook_normalized"}
    return write_config(folder, CONFIG | hooks | {"transcoders": names})


def write_own(folder: Path) -> Path:
    return write_transcoders(folder, more={THRESHOLD: threshold, "W_skip": skip})


def assert_same(found: LayerWeights, layer: int) -> None:
    expected = transcoder(layer)
    torch.testing.assert_close(found.W_enc, expected["W_enc"], rtol=0, atol=0)
    torch.testing.assert_close(found.W_dec[:, 0], expected["W_dec"], rtol=0, atol=0)
    torch.testing.assert_close(found.b_enc, expected["b_enc"], rtol=0, atol=0)
    torch.testing.assert_close(found.b_dec, expected["b_dec"], rtol=0, atol=0)
    if found.activation != TopK(20, clipped=True):
        assert isinstance(found.activation, JumpReLU)
        torch.testing.assert_close(found.activation.threshold, threshold(layer), rtol=0, atol=0)
    if found.W_skip is not None:
        torch.testing.assert_close(found.W_skip, skip(layer), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("write", "sites", "skips"),
    [
        (write_own, ("mlp_in", "mlp_resid"), True),
        (write_gemma_scope, ("ln2_normalized", "mlp_resid"), False),
        (write_gemma_scope_2, ("mlp_in", "mlp_resid"), True),
        (write_saelens, ("ln2_normalized", "mlp_resid"), True),
        (write_sparsify, ("mlp_in", "mlp_out"), True),
    ],
)
def test_each_format_gives_the_same_weights(
    tmp_path: Path, write: Callable[[Path], Path], sites: tuple[str, str], skips: bool
):
    dictionary = read_dictionary(write(tmp_path / "d"), "d", no_hub)
    assert (dictionary.reads, dictionary.writes) == sites
    assert dictionary.n_layers == 2
    for layer, weights in enumerate(dictionary.layers):
        assert_same(weights, layer)
        assert (weights.W_skip is not None) == skips


def test_files_on_the_hub_are_asked_for_in_order(tmp_path: Path):
    asked: list[HubFile] = []
    names = [f"layer_{n}/params.npz" for n in range(2)]

    def fetch(files):
        asked.extend(files)
        return [write_npz(tmp_path / "hub" / file.path, int(file.path[6])) for file in files]

    entries = [f"hf://google/scope/{names[0]}", f"hf://google/scope/{names[1]}?revision=v2"]
    folder = write_config(tmp_path / "d", CONFIG | {"transcoders": entries})
    dictionary = read_dictionary(folder, "d", fetch)
    assert asked == [
        HubFile("google/scope", names[0], None),
        HubFile("google/scope", names[1], "v2"),
    ]
    for layer, weights in enumerate(dictionary.layers):
        assert_same(weights, layer)


def test_saelens_has_a_relu_behind_its_thresholds(tmp_path: Path):
    folder = write_saelens(tmp_path / "d")
    for path in folder.glob("*/sae_weights.safetensors"):
        held = {key: tensor.clone() for key, tensor in load_file(path).items()}
        save_file(held | {"threshold": torch.full((24,), -1.0)}, path)
    activation = read_dictionary(folder, "d", no_hub).layers[0].activation
    pre = torch.linspace(-2, 2, 24)
    torch.testing.assert_close(activation(pre), pre.relu())


@pytest.mark.parametrize("prefix", ["h", "model.layers"])
def test_sparsify_names_folders_after_modules(tmp_path: Path, prefix: str):
    dictionary = read_dictionary(write_sparsify(tmp_path / "d", prefix), "d", no_hub)
    assert [path.parent.name for path in dictionary.files[::2]] == [
        f"{prefix}.{layer}.mlp" for layer in range(2)
    ]


def k_tensor(_: int) -> torch.Tensor:
    return torch.tensor(3)


@pytest.mark.parametrize(
    ("more", "config", "expected"),
    [
        (None, {}, ReLU()),
        (None, {"activation": "relu"}, ReLU()),
        (None, {"activation": "topk", "k": 4}, TopK(4)),
        (None, {"activation": "topk", "k": 4, "topk_after_relu": True}, TopK(4, clipped=True)),
        ({"k": k_tensor}, {"activation": "topk"}, TopK(3)),
        ({"k": k_tensor}, {}, TopK(3)),
    ],
)
def test_the_activation_is_what_file_and_config_say(tmp_path: Path, more, config, expected):
    folder = write_transcoders(tmp_path / "d", config=CONFIG | config, more=more)
    found = [layer.activation for layer in read_dictionary(folder, "d", no_hub).layers]
    assert found == [expected, expected]


@pytest.mark.parametrize("write", [write_own, write_gemma_scope])
def test_decoders_stay_in_their_files(tmp_path: Path, write: Callable[[Path], Path]):
    """What is written to the file after opening is what is read: nothing had been loaded."""
    dictionary = read_dictionary(write(tmp_path / "d"), "d", no_hub)
    before, after = transcoder(0)["W_dec"][7], torch.full((32,), 1.5)
    path = dictionary.files[1]
    content = path.read_bytes()
    place = content.index(before.numpy().tobytes())
    with path.open("r+b") as file:
        file.seek(place)
        file.write(after.numpy().tobytes())
    torch.testing.assert_close(dictionary.layers[0].W_dec[7, 0], after)


def test_other_weights_have_another_fingerprint(tmp_path: Path):
    def of(name: str, seed: int) -> str:
        folder = write_config(tmp_path / name, CONFIG)
        tensors = {
            "W_enc": torch.zeros(1000, 300),
            "W_dec": torch.randn(1000, 300, generator=torch.Generator().manual_seed(seed)),
            "b_enc": torch.zeros(1000),
            "b_dec": torch.zeros(300),
        }
        save_file(tensors, folder / "layer_0.safetensors")
        dictionary: Dictionary = read_dictionary(folder, "d", no_hub)
        return fingerprint(dictionary.files)

    assert of("one", 1) == of("copy", 1) != of("two", 2)
