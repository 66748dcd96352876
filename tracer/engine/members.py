"""Where members of a supernode are on a prompt, and supernodes that are given by ids.

A member is kept as (layer, index, offset): `offset` tokens left of the anchor token of a span, so
that one supernode fits prompts whose spans have other lengths. Spans are aligned at their last
token (`tokens: last` and `all`) or their first (`first`); an offset that a shorter span does not
have is left out there. A head has a place for each of its coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import HEADS, Places
from tracer.errors import UsageError
from tracer.hypothesis.heads import parse_head
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.spec import SupernodeSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.record import FeatureRef, HeadRef, SupernodeRecord

Anchor = Literal["last", "first"]


def anchor_position(prompt: TokenizedPrompt, at: str, anchor: Anchor) -> int:
    """Token position of a span's anchor."""
    start, end = prompt.spans[at]
    return start if anchor == "first" else end - 1


def position_of(
    ref: FeatureRef | HeadRef, prompt: TokenizedPrompt, at: str, anchor: Anchor
) -> int | None:
    """Token position of a member on a prompt; None where the prompt's span is too short."""
    if ref.position is not None:
        return ref.position if ref.position < len(prompt.ids) else None
    pos = anchor_position(prompt, at, anchor) - ref.offset
    return pos if pos >= prompt.spans[at][0] else None


class Placed(NamedTuple):
    """Members of a supernode that have a place on a prompt."""

    member: Int[np.ndarray, " n"]
    """Their numbers."""
    where: Places


def places_of(supernode: SupernodeRecord, prompt: TokenizedPrompt, at: str) -> Placed:
    """Every member that has a place on a prompt when put at a span; of a head, its coordinates."""
    table = table_of(supernode)
    (start, end), n_pos = prompt.spans[at], len(prompt.ids)
    anchored = (start if supernode.anchor == "first" else end - 1) - table.offset
    pos = np.where(table.position >= 0, table.position, anchored)
    there = np.where(table.position >= 0, table.position < n_pos, anchored >= start)
    member = np.repeat(np.flatnonzero(there), table.width[there])
    within = np.arange(len(member)) - np.repeat(
        np.cumsum(table.width[there]) - table.width[there], table.width[there]
    )
    columns = (table.layer[member], pos[member], table.first[member] + within)
    return Placed(member, np.stack(columns, axis=1))


class MemberTable(NamedTuple):
    """Members in columns: layer and index of a feature, or of the first coordinate of a head."""

    layer: Int[np.ndarray, " member"]
    first: Int[np.ndarray, " member"]
    width: Int[np.ndarray, " member"]
    """Scalars of a member: 1 of a feature, d_head of a head."""
    offset: Int[np.ndarray, " member"]
    position: Int[np.ndarray, " member"]
    """-1 for one that stands at a span."""


def table_of(supernode: SupernodeRecord) -> MemberTable:
    """The members of a supernode; made once a record, not at every prompt that it is put on."""
    return _table(_Itself(supernode))


class _Itself:
    """A record that is found by being the same one: thousands of members are not compared."""

    def __init__(self, supernode: SupernodeRecord) -> None:
        self.supernode = supernode

    def __hash__(self) -> int:
        return id(self.supernode)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.supernode is other.supernode


@lru_cache(maxsize=64)
def _table(of: _Itself) -> MemberTable:
    rows = [
        (HEADS + ref.layer, ref.head * ref.d_head, ref.d_head, ref.offset, _given(ref.position))
        if isinstance(ref, HeadRef)
        else (ref.layer, ref.index, 1, ref.offset, _given(ref.position))
        for ref in of.supernode.members
    ]
    return MemberTable(*np.array(rows, np.int64).reshape(-1, 5).T)


def _given(position: int | None) -> int:
    return -1 if position is None else position


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


def from_head_ids(
    name: str, spec: SupernodeSpec, heads: Sequence[str], basis: FeatureBasis
) -> SupernodeRecord:
    """A supernode of heads, `layer.head`; the basis has heads beside it."""
    given = [parse_head(text) for text in heads]
    return SupernodeRecord(
        name=name,
        label=spec.label or name,
        at=spec.at or "last",
        anchor="last",
        features=(),
        heads=tuple(
            HeadRef(layer=layer, head=head, d_head=basis.d_heads[HEADS + layer])
            for layer, head in given
        ),
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


def with_widths(supernode: SupernodeRecord, basis: FeatureBasis) -> SupernodeRecord:
    """A supernode that says how many features, or heads, the layers of its members have."""
    features = sorted({ref.layer for ref in supernode.features})
    widths = {layer: basis.n_features(layer) for layer in features}
    for ref in sorted(supernode.heads, key=lambda ref: ref.layer):
        widths[ref.layer] = basis.n_features(HEADS + ref.layer) // ref.d_head
    return supernode.model_copy(update={"widths": widths})
