"""What a graph explains: salient logits, named tokens, or a difference of two.

On a prompt, a target is a direction: token ids with their signs. Its value is the logits along it,
minus the mean over the vocabulary, before any soft cap; its read vector is the demeaned column of
the unembedding, carried back through the frozen last norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.frozen_norm import FrozenNorm
from tracer.hypothesis.clamps import Direction, LogitDiffDirection, TokenDirection, Toward
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.template import render_token
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.hypothesis.vocabulary import token_text
from tracer.record.graph.graph import Logit

N_SALIENT = 10
SALIENT_SHARE = 0.95
LogitDirection = Sequence[tuple[int, float]]
"""Token ids with their coefficients; (token, 1), (foil, −1) is a logit difference."""
ExplainedTarget = LogitDirection | Literal["salient"]
"""What a graph explains on one prompt."""


def direction_of(
    toward: Direction, declared: PromptSpec, prompt: TokenizedPrompt
) -> LogitDirection:
    """The direction's tokens as they read on a prompt, by id."""
    match toward:
        case TokenDirection(token=token):
            return [(prompt.asked[render_token(token, declared)], 1.0)]
        case LogitDiffDirection(logit_diff=(token, foil)):
            return [
                (prompt.asked[render_token(token, declared)], 1.0),
                (prompt.asked[render_token(foil, declared)], -1.0),
            ]
        case "answer":
            assert prompt.answer_id is not None
            return [(prompt.answer_id, 1.0)]


def explained_target_of(
    toward: Toward, declared: PromptSpec, prompt: TokenizedPrompt
) -> ExplainedTarget:
    """What a graph section explains, by id."""
    return "salient" if toward == "salient" else direction_of(toward, declared, prompt)


class Targets(NamedTuple):
    """Targets at the last position: value = read vector · residual stream + constant."""

    logits: tuple[Logit, ...]
    vectors: Float[Tensor, "target d_model"]
    """By the residual stream after the last layer."""
    constants: Float[Tensor, " target"]


def salient(frozen: Frozen, tokenizer: Any) -> Targets:
    """The most probable tokens: at most `N_SALIENT`, as few as reach `SALIENT_SHARE`."""
    probabilities = torch.softmax(frozen.logits.double(), 0).cpu()
    top = torch.topk(probabilities, min(N_SALIENT, len(probabilities)))
    reached = (top.values.cumsum(0) >= SALIENT_SHARE).nonzero()
    n = int(reached[0]) + 1 if len(reached) else len(top.values)
    return tokens(frozen, tokenizer, top.indices[:n].tolist())


def tokens(frozen: Frozen, tokenizer: Any, ids: Sequence[int]) -> Targets:
    """Named tokens; influence starts at each with its probability."""
    probabilities = torch.softmax(frozen.logits.double(), 0).cpu()
    logits = [Logit(_decoded(tokenizer, id_), id_, float(probabilities[id_])) for id_ in ids]
    return _targets(frozen, logits, [[(id_, 1.0)] for id_ in ids])


def difference(frozen: Frozen, tokenizer: Any, token: int, foil: int) -> Targets:
    """logit(token) − logit(foil), as one target of weight 1."""
    label = f"{_decoded(tokenizer, token)} −{_decoded(tokenizer, foil)}"
    return _targets(frozen, [Logit(label, None, 1.0)], [[(token, 1.0), (foil, -1.0)]])


def explained(frozen: Frozen, target: ExplainedTarget, tokenizer: Any) -> Targets:
    """The salient tokens, one token, (token, 1), or a difference of two, (token, 1), (foil, −1)."""
    if target == "salient":
        return salient(frozen, tokenizer)
    first, *foil = [token for token, _ in target]
    if foil:
        return difference(frozen, tokenizer, first, *foil)
    return tokens(frozen, tokenizer, [first])


def _targets(
    frozen: Frozen, logits: Sequence[Logit], directions: Sequence[LogitDirection]
) -> Targets:
    """Σ coefficient · (logit − mean of logits), affine in the residual stream, by direction."""
    end, n_vocab = frozen.unembedding, len(frozen.logits)
    weights = torch.zeros(len(logits), n_vocab, dtype=frozen.dtype, device=frozen.device)
    for row, direction in zip(weights, directions, strict=True):
        for token, coefficient in direction:
            row[token] += coefficient
    weights -= weights.sum(1, keepdim=True) / n_vocab
    norm = FrozenNorm(end.ln_final, frozen.final_scale)
    # weights · (W_Uᵀ ln_final(x) + b_U) = read vectors · x + constants   [target]
    vectors = end.reads(weights)
    constants = vectors @ norm.bias
    if end.b_U is not None:
        constants = constants + weights @ end.b_U.to(weights.dtype)
    return Targets(tuple(logits), norm.back(vectors, frozen.final_scale), constants)


def _decoded(tokenizer: Any, token: int) -> str:
    return token_text(token, tokenizer)
