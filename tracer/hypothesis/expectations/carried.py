"""Which heads carry an edge of an attribution graph: `carried`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.attention import HeadsForm, heads_problems, heads_words
from tracer.hypothesis.expectations.base import GraphExpectation
from tracer.hypothesis.expectations.edge import OUTPUT, ends_problems
from tracer.hypothesis.expectations.head_share import HeadShareTest

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts


class EdgeEnds(BaseModel):
    """Which supernodes an edge joins."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_: str = Field(alias="from", description="The source supernode.")
    to: str = Field(description="The target supernode, or `output`: what the graph explains.")


class CarriedTest(HeadShareTest):
    """Which heads carry which edge, and how much of it."""

    edge: EdgeEnds
    heads: HeadsForm = Field(description="'layer.head', quoted, or the name of a supernode.")

    @property
    def key(self) -> str:
        """What it is called where it is recorded: '9.1 of texas → output'."""
        return f"{heads_words(self.heads)} of {self.edge.from_} → {self.edge.to}"


class Carried(GraphExpectation):
    """How much of the edges between two supernodes passes through some attention heads.

    What they would lose if the heads passed nothing on at any position, over their sum: every path
    that passes one of the heads or more counts once. Of heads of one layer it is the sum of their
    loadings, over the edge.
    """

    KEY: ClassVar[str] = "carried"
    carried: CarriedTest

    def supernodes(self) -> tuple[str, ...]:
        """Both ends, where they are supernodes, and that of the heads, if it has one."""
        asked = self.carried
        ends = tuple(name for name in (asked.edge.from_, asked.edge.to) if name != OUTPUT)
        return (*ends, asked.heads) if isinstance(asked.heads, str) else ends

    def head_ids(self) -> Iterator[tuple[KeyPath, str]]:
        """Those of the list."""
        heads = () if isinstance(self.carried.heads, str) else self.carried.heads
        for number, head in enumerate(heads):
            yield ("carried", "heads", number), head

    def graph_problems(
        self, parts: Parts, path: KeyPath, prompts: Sequence[str]
    ) -> Iterator[Problem]:
        """Ends or heads that are not there, and tests that no share can pass."""
        path, asked = (*path, "carried"), self.carried
        yield from ends_problems(parts, (*path, "edge"), asked.edge.from_, asked.edge.to, prompts)
        if asked.edge.from_ == asked.edge.to:
            yield Problem((*path, "edge", "to"), "an edge joins two different supernodes")
        yield from heads_problems(parts, (*path, "heads"), asked.heads)
        yield from asked.share_problems(path)
