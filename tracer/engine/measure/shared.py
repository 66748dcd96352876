"""How far the features active on two prompts are the same, layer by layer.

A feature is active on a prompt where it is at some token of the span; special tokens, the same in
every prompt, are left out. A dictionary's features are active where they fire. Every neuron is,
more or less, so of each layer the strongest share counts, by the greatest |activation| × ‖W_dec‖
over the tokens: how much it writes. The overlap of two prompts is the intersection of their active
features over the union, as in Lindsey et al. 2025, *On the Biology of a Large Language Model*.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracer.engine.clean import clean_run
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.progress import Advance
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.studies.shared import ALL, SharedSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.arrays import Arrays, overlap_key
from tracer.record.trials import SharedRecord

Active = list[Bool[np.ndarray, " feature"]]
"""By layer."""


class MeasuredShared(NamedTuple):
    """The numbers of one claim, and its overlaps."""

    record: SharedRecord
    arrays: Arrays


def measure_shared(context: MeasurementContext, name: str, advance: Advance) -> MeasuredShared:
    """Every prompt's active features, and the overlap of every two prompts of two languages."""
    spec = context.hypothesis.studies_of(SharedSpec)[name]
    active: list[list[Active]] = []
    for names in spec.translations:
        active.append([_active(context, spec, prompt) for prompt in names])
        advance(len(names))
    pairs = tuple(combinations(range(len(spec.translations[0])), 2))
    overlaps = np.stack(
        [
            [
                [[_overlap(a[one][layer], b[other][layer]) for b in active] for a in active]
                for layer in range(context.basis.n_layers)
            ]
            for one, other in pairs
        ]
    )
    counts = [
        [int(sets[layer].sum()) for row in active for sets in row]
        for layer in range(context.basis.n_layers)
    ]
    record = SharedRecord(
        pairs=pairs,
        n_layers=context.basis.n_layers,
        n_active=tuple(sum(each) / len(each) for each in counts),
    )
    return MeasuredShared(record, {overlap_key(name): overlaps})


def _overlap(a: Bool[np.ndarray, " feature"], b: Bool[np.ndarray, " feature"]) -> float:
    """Intersection over union; not a number where neither has an active feature."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else math.nan


def _active(context: MeasurementContext, spec: SharedSpec, prompt: str) -> Active:
    tokenized = context.clean[prompt].prompt
    kept = _positions(tokenized, spec.at, frozenset(context.model.tokenizer.all_special_ids))
    run = clean_run(context.model, context.basis, tokenized, kept)
    return [
        _of_layer(context.basis, layer, run.activations[layer].float(), spec.active)
        for layer in range(context.basis.n_layers)
    ]


def _positions(prompt: TokenizedPrompt, at: str, special: frozenset[int]) -> list[int]:
    span = range(len(prompt.ids)) if at == ALL else range(*prompt.spans[at])
    return [pos for pos in span if prompt.ids[pos] not in special]


def _of_layer(
    basis: FeatureBasis, layer: int, activations: Float[Tensor, "pos feature"], share: float
) -> Bool[np.ndarray, " feature"]:
    if not len(activations):
        return np.zeros(activations.shape[1], dtype=bool)
    greatest = activations.abs().amax(0)
    if basis.is_sparse:
        return (greatest > 0).numpy()
    norms = basis.W_dec(layer, torch.arange(len(greatest)), layer).float().norm(dim=1)
    strength = greatest * norms.cpu()
    order = torch.sort(strength, descending=True, stable=True).indices
    found = np.zeros(len(greatest), dtype=bool)
    found[order[: math.ceil(share * len(greatest))].numpy()] = True
    return found
