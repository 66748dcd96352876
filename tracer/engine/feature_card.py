"""What a feature is: the tokens it promotes and suppresses, and the text it is active on.

The tokens come from weights alone. What a feature writes is carried to the vocabulary through the
post-norm's weight where the MLP's output passes one, summed over the layers it writes to, through
the last norm's weight and the unembedding, minus the vocabulary's mean. By how much the norms
divide depends on the prompt, and layers in between may react: so this is the direct path's
direction only, up to scale. The text comes from passes of the model (`tracer.engine.feature_text`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.feature_index.index import N_TOLD, AskedFeature, FeatureIndex, find_index
from tracer.engine.feature_text import Signed, on_text
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import Place, tuples_of
from tracer.engine.memory import memory_told
from tracer.engine.model.blocks import Norm
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.session import Opened, subject_of
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia_ids import feature_id
from tracer.hypothesis.vocabulary import token_text
from tracer.record.feature_card import (
    FeatureCard,
    FeatureId,
    Line,
    LogitEffect,
    LogitEffects,
    OnText,
    WriteNorm,
)
from tracer.record.feature_index import IndexedFeature
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import influence
from tracer.record.trials import FeatureTokens, Firing

N_TOKENS = 6
_AT_ONCE = 32
"""Features; their scores over a vocabulary of 262,144 are 34 MB."""


def logit_effects(
    model: Model, basis: FeatureBasis, features: Sequence[FeatureId], top: int
) -> list[LogitEffects]:
    """What each feature promotes and suppresses most: `top` tokens each."""
    if not features:
        return []
    found: list[LogitEffects] = []
    for some in write_directions(model, basis, features).split(_AT_ONCE):
        scores = _vocabulary_scores(model, some)
        found += [_ends(model.tokenizer, each, top) for each in scores]
    return found


def influential(graph: AttributionGraph, n: int) -> dict[Place, float]:
    """Activations of a graph's `n` most influential features, by their places; heads are none."""
    order = np.argsort(-influence(graph).features, kind="stable")
    rows = order[~np.isin(order, graph.nodes.attention)][:n]
    places = tuples_of(graph.nodes.features[rows])
    return dict(zip(places, graph.nodes.activations[rows].tolist(), strict=True))


def signed(active: Mapping[Place, float]) -> list[Signed]:
    """Features with the sign of their activation, in order."""
    return [Signed((layer, n), 1 if a >= 0 else -1) for (layer, _, n), a in active.items()]


def described(
    model: Model,
    basis: FeatureBasis,
    active: Mapping[Place, float],
    fires: Mapping[Signed, tuple[Firing, ...]],
    index: FeatureIndex | None = None,
) -> dict[str, FeatureTokens]:
    """What features say as they are active, where they fire, and what an index tells, by id."""
    effects = logit_effects(model, basis, [(layer, n) for layer, _, n in active], N_TOKENS)
    effects = [each.at(a) for each, a in zip(effects, active.values(), strict=True)]
    indexed: Sequence[IndexedFeature | None] = [None] * len(active)
    if index is not None:
        asked = [
            AskedFeature(layer, n, a < 0, each.clear())
            for ((layer, _, n), a), each in zip(active.items(), effects, strict=True)
        ]
        indexed = index.features(asked, N_TOLD)
    rows = zip(active, effects, signed(active), indexed, strict=True)
    return {
        feature_id(layer, number, pos): FeatureTokens(
            promotes=tuple(one.token for one in effect.promoted),
            suppresses=tuple(one.token for one in effect.suppressed),
            fires=fires.get(each, ()),
            indexed=told,
        )
        for (layer, pos, number), effect, each, told in rows
    }


def promoted_together(
    model: Model,
    basis: FeatureBasis,
    features: Sequence[FeatureId],
    activations: Sequence[float],
    top: int,
) -> tuple[str, ...]:
    """The tokens that features promote most by the sum of what they write, so active."""
    written = write_directions(model, basis, features)
    together = torch.tensor(activations).to(written) @ written
    scores = _vocabulary_scores(model, together[None])
    return tuple(each.token for each in _ends(model.tokenizer, scores[0], top).promoted)


def write_directions(
    model: Model, basis: FeatureBasis, features: Sequence[FeatureId]
) -> Float[Tensor, "n d_model"]:
    """What features add to the residual stream, summed over layers, scales of norms left out."""
    rows: dict[int, list[int]] = {}
    for row, (layer, _) in enumerate(features):
        rows.setdefault(layer, []).append(row)
    found: dict[int, Tensor] = {}
    posts: dict[int, Norm | None] = {}
    for layer, mine in rows.items():
        index, parts = torch.tensor([features[row][1] for row in mine]), list[Tensor]()
        for to in basis.write_layers(layer):
            writes = basis.W_dec(layer, index, to)
            writes = writes.to(torch.promote_types(writes.dtype, torch.float32))
            if basis.output_site(to).kind == "mlp_out":
                post = posts[to] if to in posts else posts.setdefault(to, model.block(to).ln2_post)
                writes = writes if post is None else post.linear(writes)
            parts.append(writes)
        found.update(zip(mine, torch.stack(parts).sum(0), strict=True))
    return torch.stack([found[row] for row in range(len(features))])


def _write_vector(basis: FeatureBasis, feature: FeatureId, to: int) -> Float[Tensor, " d_model"]:
    """What a feature writes into one layer, at activation 1."""
    layer, index = feature
    row = basis.W_dec(layer, torch.tensor([index]), to)[0]
    return row.to(torch.promote_types(row.dtype, torch.float32))


def _vocabulary_scores(
    model: Model, directions: Float[Tensor, "n d_model"]
) -> Float[Tensor, "n vocab"]:
    """How much each direction raises each token, in standard deviations over the vocabulary."""
    end = model.unembedding
    logits = end.scores(end.ln_final.linear(directions))
    centred = logits - logits.mean(-1, keepdim=True)
    return centred / centred.std(-1, correction=0, keepdim=True).clamp_min(1e-30)


def _ends(tokenizer: Any, scores: Float[Tensor, " vocab"], top: int) -> LogitEffects:
    def strongest(*, largest: bool) -> tuple[LogitEffect, ...]:
        found = torch.topk(scores, min(top, len(scores)), largest=largest)
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return tuple(LogitEffect(token_text(token, tokenizer), score) for token, score in pairs)

    return LogitEffects(strongest(largest=True), strongest(largest=False))


def feature_cards(
    opened: Opened,
    features: Sequence[FeatureId],
    lines: Sequence[Line] | None,
    top: int,
    progress: Progress,
) -> list[FeatureCard]:
    """The cards of features, in their order.

    Where there is an index of the model and the basis, cards tell of it, too.

    Args:
        opened: The model, and the basis the features are of.
        features: What to tell of.
        lines: The text; each line is a pass of its own. None: no text is run.
        top: So many tokens and examples in each list.
        progress: Told of every step.

    Raises:
        UsageError: A feature that is not there.
        EngineError: An activation is not finite, or too little memory.
    """
    _require(features, opened.basis)
    with memory_told("these features"), progress.task("reading features"):
        ends = logit_effects(opened.model, opened.basis, features, top)
        norms = [_norms(opened.basis, one) for one in features]
    found: Sequence[OnText | None] = [None] * len(features)
    if lines is not None:
        found = on_text(opened, features, lines, top, progress)
    index = find_index(subject_of(opened))
    indexed = [
        None if index is None else index.sides(one, each, top)
        for one, each in zip(features, ends, strict=True)
    ]
    return [
        FeatureCard(*one, *each, norm, seen, sides)
        for one, each, norm, seen, sides in zip(features, ends, norms, found, indexed, strict=True)
    ]


def _norms(basis: FeatureBasis, feature: FeatureId) -> tuple[WriteNorm, ...]:
    layers = basis.write_layers(feature[0])
    return tuple(WriteNorm(to, float(_write_vector(basis, feature, to).norm())) for to in layers)


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
