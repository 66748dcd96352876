from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tracer.hypothesis.expectations.base import Expected, Number


class EdgeTest(BaseModel):
    """Which supernodes an edge joins, and what it must be; one bound or both."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_: str = Field(alias="from", description="The source supernode.")
    to: str = Field(description="The target supernode, or `output`: what the graph explains.")
    above: Number | None = None
    below: Number | None = None


class Edge(Expected):
    """The direct effect of one supernode on another in the attribution graph, from -1 to 1.

    The sum of all edges between their features, as a share of everything that enters the target,
    signs left out: Σ edge(from → to) / Σ |edge(any → to)|.
    """

    edge: EdgeTest
