"""Per-layer transcoders against sums written out by hand and against automatic differentiation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dictionaries import (
    CONFIG,
    D_MODEL,
    N_FEATURES,
    random,
    skip,
    threshold,
    transcoder,
    write_sparsify,
    write_transcoders,
)

from tracer.engine.features.dictionary import DictionaryBasis
from tracer.engine.features.formats.registry import read_dictionary
from tracer.engine.model.sites import Site

ATOL = 1e-4
"""Float32 sums of 32 products in two orders."""
X = random(2, 3, D_MODEL, seed=7)
INDEX = torch.tensor([5, 0, 23, 5])


def no_hub(files):
    assert not files
    return []


def opened(folder: Path) -> DictionaryBasis:
    return DictionaryBasis(read_dictionary(folder, "tiny", no_hub), torch.device("cpu"))


@pytest.fixture
def relu(tmp_path: Path) -> DictionaryBasis:
    return opened(write_transcoders(tmp_path / "relu"))


@pytest.fixture
def jump(tmp_path: Path) -> DictionaryBasis:
    more = {"activation_function.threshold": threshold, "W_skip": skip}
    return opened(write_transcoders(tmp_path / "jump", more=more))


@pytest.fixture
def topk(tmp_path: Path) -> DictionaryBasis:
    config = CONFIG | {"activation": "topk", "k": 20}
    return opened(write_transcoders(tmp_path / "topk", config=config))


@pytest.fixture
def clipped(tmp_path: Path) -> DictionaryBasis:
    return opened(write_sparsify(tmp_path / "clipped"))


@pytest.fixture
def early(tmp_path: Path) -> DictionaryBasis:
    """As sparsify trained them before February 2025: the encoder reads x - b_dec."""
    return opened(write_sparsify(tmp_path / "early", transcode=False))


def pre(layer: int, row: int, pos: int, feature: int) -> float:
    """One pre-activation, product by product in Python."""
    weights = transcoder(layer)
    return sum_of(weights["W_enc"][feature], X[row, pos]) + weights["b_enc"][feature].item()


def sum_of(one: torch.Tensor, other: torch.Tensor) -> float:
    return sum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))


def by_hand(layer: int, row: int, pos: int, kind: str) -> list[float]:
    """All activations at a position."""
    pres = [pre(layer, row, pos, feature) for feature in range(N_FEATURES)]
    if kind == "early":
        weights = transcoder(layer)
        pres = [p - sum_of(weights["W_enc"][n], weights["b_dec"]) for n, p in enumerate(pres)]
    if kind == "relu":
        return [max(each, 0) for each in pres]
    if kind == "jump":
        limits = threshold(layer).tolist()
        return [each if each > limit else 0 for each, limit in zip(pres, limits, strict=True)]
    kth = sorted(pres, reverse=True)[19]
    kept = [each if each >= kth else 0 for each in pres]
    return kept if kind == "topk" else [max(each, 0) for each in kept]


KINDS = ["relu", "jump", "topk", "clipped", "early"]


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_is_what_a_loop_gives(kind: str, request: pytest.FixtureRequest):
    basis: DictionaryBasis = request.getfixturevalue(kind)
    for layer in range(2):
        acts = basis.encode(layer, X)
        for row, pos in ((0, 0), (1, 2)):
            expected = torch.tensor(by_hand(layer, row, pos, kind))
            torch.testing.assert_close(acts[row, pos], expected, atol=ATOL, rtol=0)


def test_topk_keeps_its_negative_members_and_only_k(topk: DictionaryBasis):
    acts = topk.encode(0, X)
    assert (acts != 0).sum(-1).eq(20).all()
    assert (acts < 0).any(), "20 of 24 random numbers are not all above 0"


@pytest.mark.parametrize("kind", KINDS)
def test_single_features_are_encoded_as_all_are(kind: str, request: pytest.FixtureRequest):
    basis: DictionaryBasis = request.getfixturevalue(kind)
    row, pos = torch.tensor([0, 1, 0, 1]), torch.tensor([2, 0, 2, 2])
    single = basis.encode_at(1, X, row, pos, INDEX)
    torch.testing.assert_close(single, basis.encode(1, X)[row, pos, INDEX], atol=ATOL, rtol=0)


def test_a_nan_stays_visible(jump: DictionaryBasis):
    x = torch.full((1, 1, D_MODEL), torch.nan)
    assert jump.encode(0, x).isnan().all()
    zero = torch.tensor([0])
    assert jump.encode_at(0, x, zero, zero, zero).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_asked_for_is_the_type_of_the_answer(jump: DictionaryBasis, dtype: torch.dtype):
    zero = torch.tensor([0])
    x = X.to(dtype)
    assert jump.encode(0, x).dtype == dtype
    assert jump.encode_at(0, x, zero, zero, zero).dtype == dtype
    assert {each.dtype for each in jump.readers(0, x[0], zero, zero, x[0, zero, 0])} == {dtype}


def test_gradient_and_pull_back_are_the_derivatives(relu: DictionaryBasis):
    x = X[0].clone().requires_grad_()
    weights = transcoder(1)
    pres = x @ weights["W_enc"].T + weights["b_enc"]
    acts = pres.relu()
    for each in (pres, acts):
        each.retain_grad()
    at_output = random(3, D_MODEL, seed=8)
    ((acts @ weights["W_dec"] + weights["b_dec"]) * at_output).sum().backward()
    assert acts.grad is not None and pres.grad is not None and x.grad is not None
    gradient = relu.gradient(1, {1: at_output}, INDEX)
    torch.testing.assert_close(gradient, acts.grad[:, INDEX], atol=ATOL, rtol=0)
    every = torch.arange(N_FEATURES)
    back = relu.pull_back(1, X[0], pres.grad[:, None], every)
    torch.testing.assert_close(back[:, 0], x.grad, atol=ATOL, rtol=0)


@pytest.mark.parametrize("kind", ["relu", "early"])
def test_readers_give_the_pre_activation(kind: str, request: pytest.FixtureRequest):
    basis: DictionaryBasis = request.getfixturevalue(kind)
    pos = torch.tensor([0, 2, 1, 1])
    readers = basis.readers(0, X[1], pos, INDEX, torch.zeros(len(pos)))
    found = (readers.vectors * X[1][pos]).sum(-1) + readers.constants
    expected = [pre(0, 1, p, f) for p, f in zip(pos.tolist(), INDEX.tolist(), strict=True)]
    if kind == "early":
        weights = transcoder(0)
        for n, feature in enumerate(INDEX.tolist()):
            expected[n] -= sum_of(weights["W_enc"][feature], weights["b_dec"])
    torch.testing.assert_close(found, torch.tensor(expected), atol=ATOL, rtol=0)


def test_rows_read_on_demand_are_the_rows_of_the_file(jump: DictionaryBasis):
    torch.testing.assert_close(jump.W_dec(1, INDEX, 1), transcoder(1)["W_dec"][INDEX])
    torch.testing.assert_close(jump.b_dec(1), transcoder(1)["b_dec"])
    torch.testing.assert_close(jump.W_skip(1), skip(1))


def test_sites_and_sizes(relu: DictionaryBasis):
    assert (relu.n_layers, relu.n_features(0), relu.name) == (2, N_FEATURES, "tiny")
    assert relu.read_site(1) == relu.input_site(1) == Site("mlp_in", 1)
    assert relu.output_site(1) == Site("mlp_resid", 1)
    assert list(relu.write_layers(1)) == [1]
    assert relu.W_skip(0) is None
