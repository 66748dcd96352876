"""How large an attribution graph may be, wherever one is asked for, made, written or read."""

from __future__ import annotations

from pydantic import Field

from tracer.hypothesis.clamps import Declared, Name, Toward
from tracer.hypothesis.expectations.edge import Edge

GRAPH = "graph"
"""Stands for an intervention's name in the outcomes of graph expectations."""
OUTPUT = "output"
"""Reserved name in `to:`: what the graph explains."""


KEPT_FEATURES = 2048
"""Features kept where nobody says otherwise."""
MAX_FEATURES = 50_000
"""The edge matrix grows with the square: 10 GB."""
MAX_CELLS = 2 * MAX_FEATURES**2
"""Of the edge matrix: as many features, with as many errors and tokens; 20 GB."""
LARGEST = 1e30
"""No edge, activation or value is larger; sums of edges stay far inside float32."""
MAX_JSON_BYTES = 100_000_000
"""Of a graph JSON; Neuronpedia takes no larger one."""


class GraphSpec(Declared):
    """Attribution graphs of some prompts, and what must show in them."""

    prompts: tuple[Name, ...] = Field(min_length=1)
    toward: Toward = Field(
        default="salient",
        description="What is explained: salient logits, the answer, a token, or a difference.",
    )
    max_features: int = Field(
        default=KEPT_FEATURES,
        ge=1,
        le=MAX_FEATURES,
        description="Features kept, the most relevant; supernode members are always kept.",
    )
    check: int = Field(
        default=20,
        ge=0,
        le=1000,
        description="Features that are ablated one by one, to compare with what the graph predicts;"
        " supernodes always are.",
    )
    expect: tuple[Edge, ...] = ()
