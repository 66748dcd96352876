"""What a feature is: the tokens it speaks for, and the text it is active on.

What a feature writes is carried to the vocabulary by weights alone: through the post-norm's weight
where the MLP's output passes one, summed over the layers it writes to, through the last norm's
weight and the unembedding, less the vocabulary's mean. By how much the norms divide depends on the
prompt, and layers in between may react: so this is the direct path's direction only, up to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.card import Card, FeatureId, Line, OnText, Spoken, WriteNorm
from tracer.errors import UsageError
from tracer.feature_text import on_text
from tracer.features.basis import FeatureBasis
from tracer.hypothesis.spec import ModelSpec
from tracer.memory import memory_told
from tracer.model.model import Model
from tracer.opened import Opened, open_both
from tracer.progress import Progress


def feature_cards(
    features: Sequence[FeatureId],
    spec: ModelSpec,
    basis: str,
    lines: Sequence[Line] | None,
    top: int,
    progress: Progress,
) -> list[Card]:
    """The cards of features, in their order.

    Args:
        features: What to tell of.
        spec: The model.
        basis: Name of the features, as in a hypothesis.
        lines: The text; each line is a pass of its own. None: no text is run.
        top: So many tokens and examples in each list.
        progress: Told of every step.

    Raises:
        UsageError: A feature that is not there, or features that do not fit the model.
        ModelUnavailable: The model cannot be had here.
        EngineError: An activation is not finite, or too little memory.
    """
    return cards_of(open_both(spec, basis, progress), features, lines, top, progress)


def cards_of(
    opened: Opened,
    features: Sequence[FeatureId],
    lines: Sequence[Line] | None,
    top: int,
    progress: Progress,
) -> list[Card]:
    """The same of a model that is open already.

    Raises:
        UsageError: A feature that is not there.
        EngineError: An activation is not finite, or too little memory.
    """
    _require(features, opened.basis)
    with memory_told("these features"), progress.task("reading features"):
        directions = torch.stack([write_direction(opened, one) for one in features])
        scores = _vocabulary_scores(opened.model, directions)
        spoken = [_ends(opened.model.tokenizer, each, top) for each in scores]
        norms = [_norms(opened.basis, one) for one in features]
    found: Sequence[OnText | None] = [None] * len(features)
    if lines is not None:
        found = on_text(opened, features, lines, top, progress)
    return [
        Card(*one, *ends, norm, seen)
        for one, ends, norm, seen in zip(features, spoken, norms, found, strict=True)
    ]


def write_direction(opened: Opened, feature: FeatureId) -> Float[Tensor, " d_model"]:
    """What a feature adds to the residual stream, summed over layers, scales of norms left out."""
    parts: list[Tensor] = []
    for to in opened.basis.write_layers(feature[0]):
        write = _write(opened.basis, feature, to)
        if opened.basis.output_site(to).kind == "mlp_out":
            post = opened.model.block(to).ln2_post
            write = write if post is None else post.linear(write)
        parts.append(write)
    return torch.stack(parts).sum(0)


def _vocabulary_scores(
    model: Model, directions: Float[Tensor, "n d_model"]
) -> Float[Tensor, "n vocab"]:
    end = model.unembedding
    logits = end.ln_final.linear(directions) @ end.W_U.to(directions.dtype)
    centred = logits - logits.mean(-1, keepdim=True)
    return centred / centred.std(-1, correction=0, keepdim=True).clamp_min(1e-30)


def _write(basis: FeatureBasis, feature: FeatureId, to: int) -> Float[Tensor, " d_model"]:
    layer, index = feature
    row = basis.W_dec(layer, torch.tensor([index]), to)[0]
    return row.to(torch.promote_types(row.dtype, torch.float32))


def _norms(basis: FeatureBasis, feature: FeatureId) -> tuple[WriteNorm, ...]:
    layers = basis.write_layers(feature[0])
    return tuple(WriteNorm(to, float(_write(basis, feature, to).norm())) for to in layers)


def _ends(
    tokenizer: Any, scores: Float[Tensor, " vocab"], top: int
) -> tuple[tuple[Spoken, ...], tuple[Spoken, ...]]:
    """The highest and the lowest scores."""
    ends: list[tuple[Spoken, ...]] = []
    for largest in (True, False):
        found = torch.topk(scores, min(top, len(scores)), largest=largest)
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ends.append(tuple(Spoken(str(tokenizer.decode([token])), score) for token, score in pairs))
    return ends[0], ends[1]


def _require(features: Sequence[FeatureId], basis: FeatureBasis) -> None:
    mistakes: list[str] = []
    for layer, index in features:
        if layer >= basis.n_layers:
            mistakes.append(f"{layer}_{index}: the last layer is {basis.n_layers - 1}.")
        elif index >= basis.n_features(layer):
            last = basis.n_features(layer) - 1
            mistakes.append(f"{layer}_{index}: layer {layer} has features 0 to {last}.")
    if mistakes:
        raise UsageError("\n".join(mistakes))
