"""On how many prompts the nodes and edges of a consensus graph are: what its file tells of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from tracer.record.graph.alignment import TokenPlace


@dataclass(frozen=True)
class Pruning:
    """The shares of influence that a pruning kept (see `tracer.record.graph.prune`)."""

    nodes: float
    edges: float


@dataclass(frozen=True)
class Counted:
    """On how many prompts each of some nodes, or edges, is."""

    on: Int[np.ndarray, "item pruning"]
    """At each of the prunings."""
    held_out: Int[np.ndarray, " item"]
    """Of those at the first pruning, how many are held out."""
    same_sign: Int[np.ndarray, " item"]
    """Of those at the first pruning, how many have the sign of the median; all of them where there
    is no sign: of errors, tokens and what is explained."""
    spread: tuple[int, ...]
    """How many features, or edges, are on exactly 1, 2, … of the prompts at the first pruning,
    those among them that the graph does not show."""

    def of(self, items: Int[np.ndarray, " some"] | Bool[np.ndarray, " item"]) -> Counted:
        """Those of some items, by number or by mask."""
        on, held_out, same_sign = self.on[items], self.held_out[items], self.same_sign[items]
        return replace(self, on=on, held_out=held_out, same_sign=same_sign)


@dataclass(frozen=True)
class Agreement:
    """What a consensus graph is of, and on how many prompts its nodes and edges are.

    The first pruning is the one that shares are counted at.
    """

    prompts: tuple[str, ...]
    held_out: tuple[str, ...]
    """Those of the prompts that are held out."""
    prunings: tuple[Pruning, ...]
    core: float
    """Least share of the prompts that a node or an edge of the graph is on."""
    places: tuple[TokenPlace, ...]
    """By position in the graph."""
    having: tuple[int, ...]
    """By place, how many prompts have it."""
    nodes: Counted
    """By the graph's columns, then its logits."""
    edges: Counted
    """By the edges that are not 0, by target, then source."""

    @property
    def n_prompts(self) -> int:
        """How many prompts it is of."""
        return len(self.prompts)

    def of(self, nodes: Int[np.ndarray, " some"], edges: Int[np.ndarray, " others"]) -> Agreement:
        """The same of some nodes and some edges alone, by number."""
        return replace(self, nodes=self.nodes.of(nodes), edges=self.edges.of(edges))
