"""int8 weights: what is written, how far off it is, and that it is used as its product is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command import call
from dictionaries import (
    CONFIG,
    D_MODEL,
    N_FEATURES,
    N_LAYERS,
    random,
    skip,
    write_clt,
    write_config,
    write_gemma_scope_2,
    write_saelens,
    write_sparsify,
    write_transcoders,
)
from heard import Heard
from safetensors.torch import load_file

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.dictionary import Dictionary, DictionaryBasis
from tracer.engine.features.formats.compact import write_compact
from tracer.engine.features.formats.registry import read_dictionary
from tracer.errors import UsageError

ATOL = 1e-4
X = random(2, 3, D_MODEL, seed=7)
INDEX = torch.tensor([5, 0, 23, 5])
WRITERS = {
    "relu": lambda at: write_transcoders(at, more={"W_skip": skip}),
    "jumprelu": write_gemma_scope_2,
    "by columns": write_saelens,
    "topk after relu": write_sparsify,
    "centred": lambda at: write_sparsify(at, transcode=False),
    "clt": write_clt,
    "topk clt": lambda at: write_clt(at, activation="topk", k=20),
}


def no_hub(files):
    assert not files
    return []


def read(folder: Path) -> Dictionary:
    return read_dictionary(folder, folder.name, no_hub)


def basis_of(dictionary: Dictionary) -> DictionaryBasis:
    return DictionaryBasis(dictionary, torch.device("cpu"))


@pytest.fixture(params=WRITERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Dictionary, Dictionary]:
    """A dictionary as its authors wrote it, and with int8 weights."""
    whole = read(WRITERS[request.param](tmp_path / "whole"))
    return whole, read(write_compact(whole, tmp_path / "small", Heard()))


def test_each_weight_is_off_by_half_a_factor_at_most(pair: tuple[Dictionary, Dictionary]):
    whole, small = (basis_of(each) for each in pair)
    every, nowhere = torch.arange(N_FEATURES), torch.zeros(N_FEATURES, dtype=torch.long)

    def rows(basis: FeatureBasis, layer: int) -> list[torch.Tensor]:
        read_by = basis.readers(layer, X[0], nowhere, every, torch.zeros(N_FEATURES)).vectors
        written = [basis.W_dec(layer, every, to) for to in basis.write_layers(layer)]
        W_skip = basis.W_skip(layer)
        return [read_by, *written, *([] if W_skip is None else [W_skip])]

    for layer in range(N_LAYERS):
        stored = pair[1].layers[layer]
        assert {stored.W_enc.dtype, stored.W_dec.dtype} == {torch.int8}
        for exact, found in zip(rows(whole, layer), rows(small, layer), strict=True):
            # Of a skip matrix that is stored for x @ W the rows are the columns of ours.
            halves = [exact.abs().amax(n, keepdim=True) / 254 * (1 + 1e-5) for n in (0, 1)]
            off = (exact - found).abs()
            assert (off <= halves[1]).all() or (off <= halves[0]).all()
        torch.testing.assert_close(whole.b_dec(layer), small.b_dec(layer), rtol=0, atol=0)


def test_products_of_numbers_and_factors_are_what_is_used(pair: tuple[Dictionary, Dictionary]):
    """Against sums over the tensors of the written files."""
    small = basis_of(pair[1])
    for layer in range(N_LAYERS):
        held: dict[str, torch.Tensor] = {}
        for path in pair[1].files:
            if path.stem.endswith(f"_{layer}"):
                held |= {key.replace(f"_{layer}", ""): x for key, x in load_file(path).items()}
        W_enc = held["W_enc.int8"].double() * held["W_enc.scale"].double()[:, None]
        pre = X.double() @ W_enc.T + held["b_enc"].double()
        acts = pair[1].layers[layer].activation.to(torch.device("cpu"))(pre)
        torch.testing.assert_close(small.encode(layer, X).double(), acts, atol=ATOL, rtol=0)
        row, pos = torch.tensor([0, 1, 0, 1]), torch.tensor([2, 0, 2, 2])
        single = small.encode_at(layer, X, row, pos, INDEX)
        torch.testing.assert_close(single.double(), acts[row, pos, INDEX], atol=ATOL, rtol=0)
        W_dec = held["W_dec.int8"].double() * held["W_dec.scale"].double()[..., None]
        targets = W_dec[INDEX][:, None] if W_dec.ndim == 2 else W_dec[INDEX]
        for to in small.write_layers(layer):
            found = small.W_dec(layer, INDEX, to).double()
            torch.testing.assert_close(found, targets[:, to - layer], atol=ATOL, rtol=0)
        gradient = random(3, 1, len(INDEX), seed=4)
        back = small.pull_back(layer, X[0], gradient, INDEX).double()
        torch.testing.assert_close(back, gradient.double() @ W_enc[INDEX], atol=ATOL, rtol=0)


def test_a_row_of_zeros_and_the_training_record(tmp_path: Path):
    folder = write_sparsify(tmp_path / "whole")
    (folder / "training.json").write_text(json.dumps({"tokens": 3}))
    whole = read(folder)
    whole.layers[0].W_enc[3] = 0
    small = write_compact(whole, tmp_path / "small", Heard())
    assert json.loads((small / "training.json").read_text()) == {"tokens": 3}
    at = torch.tensor([0])
    rows = basis_of(read(small)).readers(0, X[0], at, torch.tensor([3]), torch.zeros(1))
    assert not rows.vectors.any()


def test_nothing_is_overwritten_or_left_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = read(write_transcoders(tmp_path / "whole"))
    with pytest.raises(UsageError, match=r"whole is there already; name a folder that is not\.$"):
        write_compact(whole, tmp_path / "whole", Heard())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tracer.engine.features.formats.compact.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_compact(whole, tmp_path / "small", Heard())
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_the_command_tells_both_sizes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_transcoders(tmp_path / "whole", n_layers=1)
    command = ("features", "compact", "whole", "--out")
    result = call(capfd, *command, "small")
    assert result.code == 0, result.err
    sizes = [sum(p.stat().st_size for p in Path(name).iterdir()) for name in ("small", "whole")]
    assert result.out == "small: {:.1f} MB, of {:.1f} MB\n".format(*(n / 1e6 for n in sizes))
    assert {path.name for path in Path("small").iterdir()} == {"config.yaml", "layer_0.safetensors"}
    assert call(capfd, *command, "small").code == 4
    assert "nowhere: no such folder." in call(capfd, *command[:2], "nowhere", "--out", "x").err
    write_config(tmp_path / "far", CONFIG | {"transcoders": ["hf://a/b/c.npz"]})
    assert "names files on the hub" in call(capfd, *command[:2], "far", "--out", "x").err
