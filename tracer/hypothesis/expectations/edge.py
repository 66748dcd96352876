"""The direct effect of one supernode on another in an attribution graph: `edge`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.expectations.base import (
    Alpha,
    GraphExpectation,
    Number,
    bounds_problems,
)
from tracer.hypothesis.expectations.head_share import ShareBounds

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

OUTPUT = "output"
"""Reserved name in `to:`: what the graph explains."""


class EdgeTest(BaseModel):
    """Which supernodes an edge joins, and what it must be: bounds, or beyond its controls."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_: str = Field(alias="from", description="The source supernode.")
    to: str = Field(description="The target supernode, or `output`: what the graph explains.")
    above: Number | None = None
    below: Number | None = None
    beats_controls: Alpha | None = Field(
        default=None,
        description="Higher than with random sets of the graph in place of the source, as many "
        "features at each layer and position: Monte-Carlo p at most this.",
    )
    undercuts_controls: Alpha | None = Field(default=None, description="The same, lower.")

    @property
    def bounds(self) -> ShareBounds:
        """All of its tests."""
        return ShareBounds(self.above, self.below, self.beats_controls, self.undercuts_controls)


class Edge(GraphExpectation):
    """The direct effect of one supernode on another in the attribution graph, from -1 to 1.

    The sum of all edges between their features, as a share of everything that enters the target,
    signs left out: Σ edge(from → to) / Σ |edge(any → to)|.
    """

    KEY: ClassVar[str] = "edge"
    edge: EdgeTest

    def supernodes(self) -> tuple[str, ...]:
        """Both ends, where they are supernodes."""
        return tuple(name for name in (self.edge.from_, self.edge.to) if name != OUTPUT)

    def graph_problems(
        self, parts: Parts, path: KeyPath, prompts: Sequence[str]
    ) -> Iterator[Problem]:
        """Ends that are not there, and bounds that no edge can pass; `path` is its own."""
        path, edge = (*path, "edge"), self.edge
        yield from ends_problems(parts, path, edge.from_, edge.to, prompts)
        for key, bound in (("above", edge.above), ("below", edge.below)):
            if bound is not None and not -1 <= bound <= 1:
                yield Problem((*path, key), f"found {bound:g}; an edge is a share, from -1 to 1")
        if edge.beats_controls is not None and edge.undercuts_controls is not None:
            yield Problem(path, "no edge is both above its controls and below them")
        if edge.bounds.alpha is None or edge.above is not None or edge.below is not None:
            yield from bounds_problems(path, edge, "edge")


def ends_problems(
    parts: Parts, path: KeyPath, source: str, target: str, prompts: Sequence[str]
) -> Iterator[Problem]:
    """Ends of an edge that are not there, or no features; `path` is that of `from` and `to`."""
    yield from parts.supernode_problems((*path, "from"), source, prompts)
    if target != OUTPUT:
        yield from parts.supernode_problems((*path, "to"), target, prompts, (OUTPUT,))
    for key, name in (("from", source), ("to", target)):
        yield from parts.head_problems((*path, key), name, "an attribution graph is of")
