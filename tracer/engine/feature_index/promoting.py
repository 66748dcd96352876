"""Features that promote a token on the direct path; no index is needed for it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.feature_card import write_directions
from tracer.engine.model.blocks import Unembedding
from tracer.engine.progress import Progress
from tracer.engine.session import Opened
from tracer.hypothesis.vocabulary import id_of, token_text

_AT_ONCE = 4096
"""Features whose write vectors are carried to the vocabulary together."""


class PromotingFeature(NamedTuple):
    """A feature that promotes a token where it is active with a sign."""

    layer: int
    feature: int
    token: str
    score: float
    """In standard deviations over the vocabulary; below 0 it promotes where it is active below 0"""


def promoting(opened: Opened, text: str, top: int, progress: Progress) -> list[PromotingFeature]:
    """The `top` features that promote a token most: the text, or the text behind a space.

    None where neither is one token. The score is that of `feature_card.logit_effects`: the token's
    logit less the vocabulary's mean, over the vocabulary's standard deviation. Both follow from the
    mean and the covariance of the unembedding's columns, so no feature's whole vocabulary is made.
    """
    model, basis = opened.model, opened.basis
    tokens = [id_of(each, model.tokenizer) for each in dict.fromkeys([text, f" {text}"])]
    tokens = list(dict.fromkeys(each for each in tokens if each is not None))
    if not tokens:
        return []
    found: list[PromotingFeature] = []
    end = model.unembedding
    with progress.task("reading what features promote", basis.n_layers) as advance:
        moments = _moments(end)
        for layer in range(basis.n_layers):
            for start in range(0, basis.n_features(layer), _AT_ONCE):
                numbers = range(start, min(start + _AT_ONCE, basis.n_features(layer)))
                x = write_directions(model, basis, [(layer, n) for n in numbers])
                scores = _scores(end, x, tokens, moments)
                if basis.is_sparse:
                    scores = scores.clamp_min(0)
                best, which = scores.abs().max(1)
                kept = best.topk(min(top, len(best))).indices.tolist()
                found += [
                    PromotingFeature(
                        layer,
                        start + n,
                        token_text(tokens[int(which[n])], model.tokenizer),
                        float(scores[n, int(which[n])]),
                    )
                    for n in kept
                ]
            advance(1)
    return sorted(found, key=lambda each: -abs(each.score))[:top]


class _Moments(NamedTuple):
    """Of the columns of W_U, each behind the last norm's weight."""

    mean: Float[Tensor, " d_model"]
    covariance: Float[Tensor, "d_model d_model"]


def _moments(end: Unembedding) -> _Moments:
    n = end.W_U.shape[1]
    total = torch.zeros(end.W_U.shape[0], dtype=torch.float64, device=end.W_U.device)
    products = total.new_zeros(len(total), len(total))
    for part in end.W_U.split(1 << 14, 1):
        columns = part.float()
        total += columns.sum(1, dtype=torch.float64)
        products += (columns @ columns.T).double()
    mean = total / n
    return _Moments(mean, products / n - mean[:, None] * mean)


def _scores(
    end: Unembedding, directions: Float[Tensor, "n d_model"], tokens: list[int], moments: _Moments
) -> Float[Tensor, "n token"]:
    x = end.ln_final.linear(directions).double()
    logits = x @ end.W_U[:, tokens].double()
    variance = ((x @ moments.covariance) * x).sum(1, keepdim=True)
    return (logits - (x @ moments.mean)[:, None]) / variance.sqrt().clamp_min(1e-30)
