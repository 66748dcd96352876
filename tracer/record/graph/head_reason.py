"""Why one attention head looks from one token at another: the nodes that its score comes from.

A head's score of a query and a key is a sum over pairs of nodes (see
`tracer.engine.attribution.query_key`). A node's part of one side is the sum of its pairs with
everything on the other side; the parts of a side add up to the score, or to the difference that is
told, with those of the nodes that are not listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

CONSTANT = "constant"
"""Stands, among ids of nodes, for biases and what the MLPs add over the special-token prefix."""


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


@dataclass(frozen=True)
class HeadReason:
    """The strongest nodes and pairs of one score."""

    layer: int
    head: int
    query: int
    """Position that the head looks from."""
    key: int
    """Position that it looks at."""
    against: int | Literal["mean"] | None
    """Position of the key whose score is subtracted, or the mean of all by attention."""
    attention: tuple[float, ...]
    """What the head pays to each position from the query's, after the softmax."""
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
