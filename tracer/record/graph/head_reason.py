"""Why one attention head looks from one token at another: the nodes that its score comes from.

A head's score of a query and a key is a sum over pairs of nodes (see
`tracer.engine.attribution.query_key`). A node's part of one side is the sum of its pairs with
everything on the other side; the parts of a side add up to the score, or to the difference that is
told, with those of the nodes that are not listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.hypothesis.heads import HeadName
from tracer.record.trials import FeatureTokens

CONSTANT = "constant"
"""Stands, among ids of nodes, for biases and what the MLPs add over the special-token prefix."""
Against = int | Literal["mean"] | None
"""Position of another key, the mean over the keys by the head's pattern, or nothing."""


class HeadQuestion(NamedTuple):
    """Why a head looks from one position at another."""

    head: HeadName
    query: int
    """Position that it looks from."""
    key: int
    """Position that it looks at."""
    against: Against = None


class NodePart(NamedTuple):
    """A node, and its part of the score on one side."""

    id: str
    """Of a feature, an error or a token; or `CONSTANT`."""
    part: float


class PairPart(NamedTuple):
    """What one node on the query side and one on the key side give together."""

    query: str
    key: str
    part: float


class GroupPart(NamedTuple):
    """The parts of all nodes of a group together."""

    name: str | None
    """None of the nodes that are in no group."""
    query: float
    key: float


@dataclass(frozen=True, eq=False)
class HeadReason:
    """The strongest nodes and pairs of one score."""

    asked: HeadQuestion
    pattern: Float[np.ndarray, "query key"]
    """What the head pays from every position to every other, after the softmax."""
    score: float
    """Of query and key, before the softmax and any soft cap."""
    total: float
    """What is told: the score, or the difference."""
    slope: float
    """By how much the score moves after its soft cap, 0 to 1; 1 without one."""
    query_side: tuple[NodePart, ...]
    """The strongest, by magnitude."""
    key_side: tuple[NodePart, ...]
    pairs: tuple[PairPart, ...]
    n_nodes: int
    """On each side, listed or not."""
    features: Mapping[str, FeatureTokens] = field(default_factory=dict[str, FeatureTokens])
    """By id, what the listed ones promote and suppress."""
    groups: tuple[GroupPart, ...] = ()
    """Those that were asked for, then all that is in none."""
    group_pairs: tuple[PairPart, ...] = ()
    """What every two of the groups give together, by their names; the strongest."""

    @property
    def attention(self) -> Float[np.ndarray, " key"]:
        """What the head pays to each position from the query's."""
        return self.pattern[self.asked.query]
