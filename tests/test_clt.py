"""Cross-layer transcoders: what is written where, and derivatives through several layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dictionaries import (
    D_MODEL,
    N_FEATURES,
    clt_decoder,
    random,
    skip,
    threshold,
    transcoder,
    write_clt,
    write_gemma_scope_2_clt,
)

from tracer.engine.features.dictionary import DictionaryBasis
from tracer.engine.features.formats.registry import read_dictionary

ATOL = 1e-4
N_LAYERS = 3
INDEX = torch.tensor([5, 0, 23, 5])


def no_hub(files):
    assert not files
    return []


def opened(folder: Path) -> DictionaryBasis:
    return DictionaryBasis(read_dictionary(folder, "tiny", no_hub), torch.device("cpu"))


@pytest.fixture
def clt(tmp_path: Path) -> DictionaryBasis:
    return opened(write_clt(tmp_path / "clt", N_LAYERS))


def test_a_feature_writes_from_its_own_layer_to_the_last(clt: DictionaryBasis):
    assert clt.n_layers == N_LAYERS
    assert [list(clt.write_layers(layer)) for layer in range(3)] == [[0, 1, 2], [1, 2], [2]]
    for layer in range(N_LAYERS):
        stored = clt_decoder(layer, N_LAYERS - layer)
        for to in clt.write_layers(layer):
            torch.testing.assert_close(clt.W_dec(layer, INDEX, to), stored[INDEX, to - layer])


def test_in_gemma_scope_2_targets_count_from_layer_0(tmp_path: Path):
    basis = opened(write_gemma_scope_2_clt(tmp_path / "two", N_LAYERS))
    for layer in range(N_LAYERS):
        for to in basis.write_layers(layer):
            expected = clt_decoder(layer, N_LAYERS)[INDEX, to]
            torch.testing.assert_close(basis.W_dec(layer, INDEX, to), expected)
        torch.testing.assert_close(basis.W_skip(layer), skip(layer))


def test_gradient_sums_over_the_layers_written_to(clt: DictionaryBasis):
    acts = random(4, N_FEATURES, seed=1).requires_grad_()
    at_outputs = {layer: random(4, D_MODEL, seed=2 + layer) for layer in range(N_LAYERS)}
    written = torch.einsum("bf,ftd->tbd", acts, clt_decoder(1, 2))
    (written * torch.stack([at_outputs[1], at_outputs[2]])).sum().backward()
    assert acts.grad is not None
    found = clt.gradient(1, at_outputs, INDEX)
    torch.testing.assert_close(found, acts.grad[:, INDEX], atol=ATOL, rtol=0)
    only = clt.gradient(1, {2: at_outputs[2]}, INDEX)
    without = clt.gradient(1, at_outputs | {1: torch.zeros(4, D_MODEL)}, INDEX)
    torch.testing.assert_close(only, without)


def test_encoding_and_the_skip_are_its_own_layers(clt: DictionaryBasis):
    x = random(2, D_MODEL, seed=3)
    weights = transcoder(2)
    pre = x @ weights["W_enc"].T + weights["b_enc"]
    expected = torch.where(pre > threshold(2), pre, 0.0)
    torch.testing.assert_close(clt.encode(2, x), expected, atol=ATOL, rtol=0)
    W_skip = clt.W_skip(2)
    assert W_skip is not None
    # Stored for x @ W, unlike a per-layer transcoder's.
    torch.testing.assert_close(x @ W_skip.T, x @ skip(2).T)


@pytest.mark.parametrize("after_relu", [None, False])
def test_topk_is_taken_within_a_layer(tmp_path: Path, after_relu: bool | None):
    more = {} if after_relu is None else {"topk_after_relu": after_relu}
    clt = opened(write_clt(tmp_path / "k", N_LAYERS, activation="topk", k=20, **more))
    x = random(2, D_MODEL, seed=3)
    for layer in range(N_LAYERS):
        weights = transcoder(layer)
        pre = x @ weights["W_enc"].T + weights["b_enc"]
        kth = pre.sort(descending=True).values[:, 19:20]
        kept = torch.where(pre >= kth, pre, 0.0)
        expected = kept if after_relu is False else kept.clamp(min=0)
        assert (expected != kept).any() == (after_relu is None)
        torch.testing.assert_close(clt.encode(layer, x), expected, atol=ATOL, rtol=0)
