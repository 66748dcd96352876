"""Supernodes given by ids, and where a supernode's members are on a prompt.

A member is kept as (layer, index, offset): `offset` tokens left of the anchor token of a span, so
that one supernode fits prompts whose spans have other lengths. Spans are aligned at their last
token (`tokens: last` and `all`) or their first (`first`); an offset that a shorter span does not
have is left out there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from tracer.engine.features.basis import Place
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.spec import SupernodeSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.record import FeatureRef, SupernodeRecord

Anchor = Literal["last", "first"]


def anchor_position(prompt: TokenizedPrompt, at: str, anchor: Anchor) -> int:
    """Token position of a span's anchor."""
    start, end = prompt.spans[at]
    return start if anchor == "first" else end - 1


def position_of(ref: FeatureRef, prompt: TokenizedPrompt, at: str, anchor: Anchor) -> int | None:
    """Token position of a member on a prompt; None where the prompt's span is too short."""
    if ref.position is not None:
        return ref.position if ref.position < len(prompt.ids) else None
    pos = anchor_position(prompt, at, anchor) - ref.offset
    return pos if pos >= prompt.spans[at][0] else None


def places_of(
    supernode: SupernodeRecord, prompt: TokenizedPrompt, at: str
) -> Iterator[tuple[int, Place]]:
    """(number, place) of every member that has a place on a prompt when put at a span."""
    for member, ref in enumerate(supernode.features):
        pos = position_of(ref, prompt, at, supernode.anchor)
        if pos is not None:
            yield member, (ref.layer, pos, ref.index)


def from_ids(name: str, spec: SupernodeSpec, features: Sequence[str]) -> SupernodeRecord:
    """A supernode of explicit ids: `layer_index`, or `layer_index_position`."""
    given = [parse_given(text) for text in features]
    return SupernodeRecord(
        name=name,
        label=spec.label or name,
        at=spec.at or "last",
        anchor="last",
        features=tuple(FeatureRef(layer=g.layer, index=g.feature, position=g.pos) for g in given),
        source=spec.source or (),
    )


def with_maxima(supernode: SupernodeRecord, spec: SupernodeSpec) -> SupernodeRecord:
    """The supernode with what the file says of its features' maxima, also where it was locked.

    Raises:
        UsageError: A feature of the lock has none.
    """
    if spec.maxima is None:
        return supernode
    ids = [f"{ref.layer}_{ref.index}" for ref in supernode.features]
    missing = [id_ for id_ in ids if id_ not in spec.maxima]
    if missing:
        raise UsageError(
            f"supernode {supernode.name!r}: its `maxima` lack {', '.join(missing)}, "
            "which the lock has."
        )
    features = tuple(
        ref.model_copy(update={"maximum": spec.maxima[id_]})
        for ref, id_ in zip(supernode.features, ids, strict=True)
    )
    return supernode.model_copy(update={"features": features})
