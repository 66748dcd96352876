"""What a feature is: the tokens it speaks for, and the text it is active on.

The tokens come from weights alone (see `tracer.spoken`), the text from passes of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracer.card import Card, FeatureId, Line, OnText, WriteNorm
from tracer.errors import UsageError
from tracer.feature_text import on_text
from tracer.features.basis import FeatureBasis
from tracer.hypothesis.spec import ModelSpec
from tracer.memory import memory_told
from tracer.opened import Opened, open_both
from tracer.progress import Progress
from tracer.spoken import spoken, write_vector


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
        ends = spoken(opened.model, opened.basis, features, top)
        norms = [_norms(opened.basis, one) for one in features]
    found: Sequence[OnText | None] = [None] * len(features)
    if lines is not None:
        found = on_text(opened, features, lines, top, progress)
    return [
        Card(*one, *each, norm, seen)
        for one, each, norm, seen in zip(features, ends, norms, found, strict=True)
    ]


def _norms(basis: FeatureBasis, feature: FeatureId) -> tuple[WriteNorm, ...]:
    layers = basis.write_layers(feature[0])
    return tuple(WriteNorm(to, float(write_vector(basis, feature, to).norm())) for to in layers)


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
