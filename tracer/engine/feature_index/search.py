"""Features that a text makes strongly active, as an index tells.

How strong an activation is, is told by the share of the index's tokens on which the feature is at
least as active, to within a bin of its histogram: features differ in scale, shares do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.frozen import n_prefix
from tracer.engine.feature_card import logit_effects
from tracer.engine.feature_index.index import AskedFeature, FeatureIndex
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.progress import Progress
from tracer.engine.session import Opened
from tracer.errors import EngineError
from tracer.hypothesis.vocabulary import read_text, token_text
from tracer.record.feature_card import FeatureId
from tracer.record.feature_index import IndexedFeature

_FOR_LABEL = 4
"""Promoted tokens that are read for a label."""


class FiringFeature(NamedTuple):
    """A feature that a text makes active."""

    layer: int
    feature: int
    activation: float
    """The strongest on the text, by its share."""
    pos: int
    token: str
    share: float
    """Of the index's tokens, those on which it is at least as active, with the same sign."""
    indexed: IndexedFeature | None


def firing(
    opened: Opened, index: FeatureIndex, text: str, top: int, progress: Progress
) -> list[FiringFeature]:
    """The `top` features of which the text is most unusual, the rarest first.

    Of equal shares the one comes first whose activation is the largest part of its strongest in the
    index.

    Raises:
        EngineError: The tokenizer refuses the text, it has no token, or activations are not finite.
    """
    model, basis = opened.model, opened.basis
    ids = _ids(model, text)
    first = n_prefix(ids, model.tokenizer.all_special_ids, basis.opening)
    if first >= len(ids):
        raise EngineError("there is no token in this text.")
    with progress.task("running the text"), memory_told("the text's pass"):
        strongest = _strongest(model, basis, ids, first, index.about.n_signs)
    rows: list[tuple[float, float, int, int, float, int]] = []
    with progress.task("looking it up in the index", basis.n_layers) as advance:
        for layer, (values, places) in enumerate(strongest):
            read = index.layer(layer)
            if read is not None:
                for sign, factor in zip(range(len(values)), (1.0, -1.0), strict=False):
                    shares = read.shares_above(values[sign], sign)
                    part = values[sign] / np.maximum(read.arrays["values"][:, sign, 0], 1e-30)
                    active = np.flatnonzero(values[sign] > 0)
                    order = active[np.lexsort((-part[active], shares[active]))][:top]
                    rows += [
                        (
                            float(shares[n]),
                            -float(part[n]),
                            layer,
                            int(n),
                            factor * float(values[sign][n]),
                            int(places[sign][n]),
                        )
                        for n in order
                    ]
            advance(1)
    rows = sorted(rows)[:top]
    told = labelled(opened, index, [(layer, n, a) for _, _, layer, n, a, _ in rows])
    return [
        FiringFeature(layer, n, a, first + pos, token_text(ids[first + pos], model.tokenizer), s, t)
        for (s, _, layer, n, a, pos), t in zip(rows, told, strict=True)
    ]


def labelled(
    opened: Opened, index: FeatureIndex | None, features: Sequence[tuple[int, int, float]]
) -> list[IndexedFeature | None]:
    """What an index tells of features: layer, feature, and a number of their activation's sign."""
    if index is None:
        return [None] * len(features)
    ids: list[FeatureId] = [(layer, n) for layer, n, _ in features]
    effects = logit_effects(opened.model, opened.basis, ids, _FOR_LABEL)
    asked = [
        AskedFeature(layer, n, a < 0, each.at(a).clear())
        for (layer, n, a), each in zip(features, effects, strict=True)
    ]
    return index.features(asked, 1)


def _ids(model: Model, text: str) -> list[int]:
    try:
        return list(read_text(text, model.tokenizer).ids)[: model.context]
    except ValueError as refused:
        raise EngineError(str(refused)) from None


class _Strongest(NamedTuple):
    """By sign: the largest |activation| of every feature of a layer, and where, from the first."""

    values: list[Float[np.ndarray, " feature"]]
    places: list[np.ndarray]


def _strongest(
    model: Model, basis: FeatureBasis, ids: list[int], first: int, n_signs: int
) -> list[_Strongest]:
    found: dict[int, _Strongest] = {}

    def hook(layer: int) -> tuple[Site, Hook]:
        def look(x: Tensor) -> None:
            activations = basis.encode(layer, x[0, first:]).float()
            if not bool(activations.isfinite().all()):
                raise EngineError("activations are not finite on this text. Try dtype float32.")
            ends = [activations.max(0), *([(-activations).max(0)] if n_signs > 1 else [])]
            found[layer] = _Strongest(
                [end.values.cpu().numpy() for end in ends],
                [end.indices.cpu().numpy() for end in ends],
            )

        return basis.read_site(layer), look

    model.read(torch.tensor([ids]), [hook(layer) for layer in range(basis.n_layers)])
    return [found[layer] for layer in range(basis.n_layers)]
