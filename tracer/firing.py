"""Where features fire on a hypothesis's own prompts: the strongest token of each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.card import FeatureId
from tracer.feature_text import activations_of
from tracer.features.basis import FeatureBasis
from tracer.graph_record import Firing
from tracer.model.model import Model
from tracer.replacement.state import n_fixed
from tracer.tokens import TokenizedPrompt

_BEFORE = 6
"""Tokens shown before the one that is meant."""


class Signed(NamedTuple):
    """A feature, and the sign that its activation is looked for with."""

    feature: FeatureId
    sign: int


def firings(
    model: Model,
    basis: FeatureBasis,
    features: Sequence[Signed],
    prompts: Sequence[TokenizedPrompt],
    top: int,
) -> list[tuple[Firing, ...]]:
    """The `top` prompts on which each feature is most active, with the token where it is.

    Special tokens that every prompt begins with do not count.
    """
    found: list[list[Firing]] = [[] for _ in features]
    ids = [each.feature for each in features]
    signs = torch.tensor([[float(each.sign)] for each in features])
    for prompt in prompts:
        first = n_fixed(prompt.ids, model.tokenizer.all_special_ids)
        if first >= len(prompt.ids):
            continue
        active = signs * activations_of(model, basis, ids, prompt.ids)[:, first:]
        for mine, values in zip(found, active, strict=True):
            mine += _strongest(model, prompt, first, values)
    return [_first(mine, top, each.sign) for mine, each in zip(found, features, strict=True)]


def _strongest(
    model: Model, prompt: TokenizedPrompt, first: int, values: Float[Tensor, " pos"]
) -> list[Firing]:
    """The prompt's strongest place, activation as looked for; none where it is not active so."""
    pos = int(values.argmax())
    if values[pos] <= 0:
        return []
    at = first + pos
    before, token = prompt.ids[max(first, at - _BEFORE) : at], prompt.ids[at : at + 1]
    texts = [str(model.tokenizer.decode(ids)) for ids in (list(before), list(token))]
    return [
        Firing(prompt=prompt.name, before=texts[0], token=texts[1], activation=float(values[pos]))
    ]


def _first(found: Sequence[Firing], top: int, sign: int) -> tuple[Firing, ...]:
    strongest = sorted(found, key=lambda each: -each.activation)[:top]
    return tuple(e.model_copy(update={"activation": sign * e.activation}) for e in strongest)
