"""Llamascopium's transcoders against their authors' order of steps, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from dictionaries import D_MODEL, N_FEATURES, N_LAYERS, random, threshold, transcoder
from dictionaries import write_llamascopium as write

from tracer.engine.features.dictionary import DictionaryBasis
from tracer.engine.features.formats.registry import read_dictionary
from tracer.errors import TracerError

ATOL = 1e-4
X = random(2, 3, D_MODEL, seed=7)
IN, OUT = 3.0, 5.0


def opened(folder: Path) -> DictionaryBasis:
    return DictionaryBasis(read_dictionary(folder, "tiny", list), torch.device("cpu"))


def by_the_authors(layer: int, x: torch.Tensor, more: dict[str, Any]):
    """Scale, encode, gate by the decoder's norms, decode, scale back: activations and output."""
    weights, is_scaled = transcoder(layer), more.get("norm_activation") != "inference"
    to_in, to_out = (D_MODEL**0.5 / n if is_scaled else 1.0 for n in (IN, OUT))
    pre = (x * to_in) @ weights["W_enc"].T + weights["b_enc"]
    by_norm = more.get("sparsity_include_decoder_norm", True)
    norm = weights["W_dec"].norm(dim=1) if by_norm else torch.ones(N_FEATURES)
    gated = pre * norm
    if more.get("act_fn") == "jumprelu":
        acts = gated * (gated > threshold(layer))
    elif more.get("act_fn") == "relu":
        acts = gated.relu()
    else:
        kth = gated.relu().sort(descending=True).values[..., 19:20]
        acts = torch.where(gated.relu() >= kth, gated.relu(), 0.0)
    acts = acts / norm
    out = acts @ weights["W_dec"]
    out = out + (weights["b_dec"] if more.get("use_decoder_bias", True) else 0)
    return acts / to_in, out / to_out


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sparsity_include_decoder_norm": False, "use_decoder_bias": False},
        {"norm_activation": "inference"},
        {"norm_activation": "inference", "act_fn": "jumprelu"},
        {"act_fn": "relu"},
    ],
)
def test_what_it_computes(tmp_path: Path, more: dict[str, Any]):
    basis = opened(write(tmp_path / "d", **more))
    every = torch.arange(N_FEATURES)
    for layer in range(N_LAYERS):
        acts, out = by_the_authors(layer, X, more)
        found = basis.encode(layer, X)
        torch.testing.assert_close(found, acts, atol=ATOL, rtol=1e-5)
        written = found @ basis.W_dec(layer, every, layer) + basis.b_dec(layer)
        torch.testing.assert_close(written, out, atol=1e-3, rtol=1e-4)
        row, pos, index = torch.tensor([[0, 1, 0, 1], [2, 0, 2, 2], [5, 0, 23, 5]])
        single = basis.encode_at(layer, X, row, pos, index)
        torch.testing.assert_close(single, acts[row, pos, index], atol=ATOL, rtol=1e-5)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"act_fn": "batchtopk"}, "act_fn: Input should be 'relu', 'topk' or 'jumprelu'"),
        ({"sae_type": "lorsa"}, "sae_type: Input should be 'sae'"),
        ({"sae_type": "clt"}, "sae_type: Input should be 'sae'"),
        ({"norm_activation": "token-wise"}, "norm_activation: Input should be 'inference' or 'dat"),
        ({"act_fn": "jumprelu"}, "its thresholds are for scaled activations"),
        ({"use_glu_encoder": True}, "use_glu_encoder: Input should be False"),
        ({"top_k": 25}, "TopK needs a k from 1 to 24; found 25"),
        ({"norms": (0.0, 5.0)}, "they must be above 0"),
        ({"hook_point_in": "blocks.0.hook_resid_post"}, "hook_point_in is 'hook_resid_post'; allo"),
        ({"hook_point_out": "blocks.9.hook_mlp_out"}, "it reads layer 0 and writes layer 9"),
    ],
)
def test_what_is_not_read(tmp_path: Path, more: dict[str, Any], sentence: str):
    with pytest.raises(TracerError, match=sentence):
        opened(write(tmp_path / "d", **more))
