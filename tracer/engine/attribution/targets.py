"""What a graph explains: salient logits, named tokens, a difference of two, or any direction.

A token's target is its logit less the mean over the vocabulary, before any soft cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.frozen_block import FrozenNorm
from tracer.engine.explained import ExplainedTarget
from tracer.record.graph.graph import Logit

N_SALIENT = 10
SALIENT_SHARE = 0.95


class Targets(NamedTuple):
    """Directions at the last position, with what each adds up to besides the residual stream."""

    logits: tuple[Logit, ...]
    vectors: Float[Tensor, "target d_model"]
    """By the residual stream after the last layer."""
    constants: Float[Tensor, " target"]


def salient(frozen: Frozen, tokenizer: Any) -> Targets:
    """The most probable tokens: at most ten, as few as reach 95 % of the probability."""
    probabilities = torch.softmax(frozen.logits.double(), 0)
    top = torch.topk(probabilities, min(N_SALIENT, len(probabilities)))
    reached = (top.values.cumsum(0) >= SALIENT_SHARE).nonzero()
    n = int(reached[0]) + 1 if len(reached) else len(top.values)
    return tokens(frozen, tokenizer, top.indices[:n].tolist())


def tokens(frozen: Frozen, tokenizer: Any, ids: Sequence[int]) -> Targets:
    """Named tokens; influence starts at each with its probability."""
    probabilities = torch.softmax(frozen.logits.double(), 0)
    logits = tuple(
        Logit(_decoded(tokenizer, token), token, float(probabilities[token])) for token in ids
    )
    weights = torch.zeros(len(ids), len(frozen.logits), dtype=frozen.dtype, device=frozen.device)
    weights[range(len(ids)), list(ids)] = 1.0
    return directions(frozen, logits, weights - 1 / len(frozen.logits))


def difference(frozen: Frozen, tokenizer: Any, token: int, foil: int) -> Targets:
    """logit(token) − logit(foil), as one target of weight 1."""
    label = f"{_decoded(tokenizer, token)} −{_decoded(tokenizer, foil)}"
    weights = torch.zeros(1, len(frozen.logits), dtype=frozen.dtype, device=frozen.device)
    weights[0, token] += 1.0
    weights[0, foil] -= 1.0
    return directions(frozen, (Logit(label, None, 1.0),), weights)


def explained(frozen: Frozen, wish: ExplainedTarget, tokenizer: Any) -> Targets:
    """The salient tokens, one token, (token, 1), or a difference of two, (token, 1), (foil, −1)."""
    if wish == "salient":
        return salient(frozen, tokenizer)
    first, *rest = [token for token, _ in wish]
    return (
        difference(frozen, tokenizer, first, *rest) if rest else tokens(frozen, tokenizer, [first])
    )


def directions(
    frozen: Frozen, logits: tuple[Logit, ...], weights: Float[Tensor, "target vocab"]
) -> Targets:
    """Any combinations of logits: Σ weight · logit."""
    end = frozen.unembedding
    norm = FrozenNorm(end.ln_final, frozen.final_scale)
    vectors = weights @ end.W_U.to(weights.dtype).T
    constants = vectors @ norm.bias
    if end.b_U is not None:
        constants = constants + weights @ end.b_U.to(weights.dtype)
    return Targets(logits, norm.back(vectors, frozen.final_scale), constants)


def _decoded(tokenizer: Any, token: int) -> str:
    return str(tokenizer.decode([token]))
