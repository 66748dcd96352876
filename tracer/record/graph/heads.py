"""Which attention heads carry the edges of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class HeadShare(NamedTuple):
    """What one attention head carries of an edge."""

    layer: int
    head: int
    """In its layer."""
    weight: float
    """In the edge's unit; over the edge, the share that passes the head."""


@dataclass(frozen=True)
class HeadNodes:
    """What is told of the heads of a graph that has heads as nodes.

    A head at a position is a row and a column of the graph, its index the head in its layer. What
    it reads is read toward what the graph explains: its value is what it adds to Σ weight · logit
    by all paths of the graph, and an incoming edge the part that the source has in that.
    """

    n_all: int
    """Heads at positions, nodes or not."""
    relevance_share: float
    """Share of all heads' relevance to the logits that those of the whole graph carry, 0 to 1."""


@dataclass(frozen=True)
class HeadLoadings:
    """Which attention heads carry each edge: its strongest loadings, in the edge's unit.

    Edges are those that are not 0, by target, then source. An edge counts in full at every head
    that one of its paths passes, so loadings of different layers do not add up to it.
    """

    n_heads: int
    """Heads of a layer."""
    heads: Int[np.ndarray, "edge most"]
    """layer · n_heads + head, the strongest first; −1 where there are no more."""
    weights: Float[np.ndarray, "edge most"]
    """float32, signed; 0 where there are no more."""

    def of(self, edges: Int[np.ndarray, " some"] | Bool[np.ndarray, " edge"]) -> HeadLoadings:
        """Those of some edges, by number or by mask."""
        return HeadLoadings(self.n_heads, self.heads[edges], self.weights[edges])

    def nothing(self, n: int) -> HeadLoadings:
        """Of so many edges, of which nothing is told."""
        shape = n, self.heads.shape[1]
        return HeadLoadings(self.n_heads, np.full(shape, -1), np.zeros(shape, dtype=np.float32))

    def joined(self, more: HeadLoadings) -> HeadLoadings:
        """Those of edges, then those of others."""
        heads = np.concatenate([self.heads, more.heads])
        return HeadLoadings(self.n_heads, heads, np.concatenate([self.weights, more.weights]))

    def strongest(self, edge: int) -> tuple[HeadShare, ...]:
        """The heads of an edge, the strongest first."""
        found = zip(self.heads[edge].tolist(), self.weights[edge].tolist(), strict=True)
        return tuple(
            HeadShare(head // self.n_heads, head % self.n_heads, weight)
            for head, weight in found
            if head >= 0
        )
