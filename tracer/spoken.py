"""What features promote and suppress: their direct path to the vocabulary, by weights alone.

What a feature writes is carried to the vocabulary through the post-norm's weight where the MLP's
output passes one, summed over the layers it writes to, through the last norm's weight and the
unembedding, less the vocabulary's mean. By how much the norms divide depends on the prompt, and
layers in between may react: so this is the direct path's direction only, up to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.card import FeatureId, Spoken
from tracer.features.basis import FeatureBasis
from tracer.model.model import Model

_AT_ONCE = 32
"""Features; their scores over a vocabulary of 262,144 are 34 MB."""


class Ends(NamedTuple):
    """The two ends of a feature's scores, strongest first, where it is active above 0."""

    promoted: tuple[Spoken, ...]
    suppressed: tuple[Spoken, ...]


def spoken(
    model: Model, basis: FeatureBasis, features: Sequence[FeatureId], top: int
) -> list[Ends]:
    """What each feature promotes and suppresses most: `top` tokens each."""
    found: list[Ends] = []
    for first in range(0, len(features), _AT_ONCE):
        some = features[first : first + _AT_ONCE]
        directions = torch.stack([write_direction(model, basis, one) for one in some])
        scores = vocabulary_scores(model, directions)
        found += [Ends(*ends(model.tokenizer, each, top)) for each in scores]
    return found


def write_direction(
    model: Model, basis: FeatureBasis, feature: FeatureId
) -> Float[Tensor, " d_model"]:
    """What a feature adds to the residual stream, summed over layers, scales of norms left out."""
    parts: list[Tensor] = []
    for to in basis.write_layers(feature[0]):
        write = write_vector(basis, feature, to)
        if basis.output_site(to).kind == "mlp_out":
            post = model.block(to).ln2_post
            write = write if post is None else post.linear(write)
        parts.append(write)
    return torch.stack(parts).sum(0)


def write_vector(basis: FeatureBasis, feature: FeatureId, to: int) -> Float[Tensor, " d_model"]:
    """What a feature writes into one layer, at activation 1."""
    layer, index = feature
    row = basis.W_dec(layer, torch.tensor([index]), to)[0]
    return row.to(torch.promote_types(row.dtype, torch.float32))


def vocabulary_scores(
    model: Model, directions: Float[Tensor, "n d_model"]
) -> Float[Tensor, "n vocab"]:
    """How much each direction raises each token, in standard deviations over the vocabulary."""
    end = model.unembedding
    logits = end.ln_final.linear(directions) @ end.W_U.to(directions.dtype)
    centred = logits - logits.mean(-1, keepdim=True)
    return centred / centred.std(-1, correction=0, keepdim=True).clamp_min(1e-30)


def ends(
    tokenizer: Any, scores: Float[Tensor, " vocab"], top: int
) -> tuple[tuple[Spoken, ...], tuple[Spoken, ...]]:
    """The highest and the lowest scores."""
    ends: list[tuple[Spoken, ...]] = []
    for largest in (True, False):
        found = torch.topk(scores, min(top, len(scores)), largest=largest)
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ends.append(tuple(Spoken(str(tokenizer.decode([token])), score) for token, score in pairs))
    return ends[0], ends[1]
