"""Attribution graphs of some prompts, what must show in them, and how large one may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from tracer.errors import KeyPath, Problem, prompts_named, show
from tracer.hypothesis.clamps import Toward
from tracer.hypothesis.declared import Declared, Name
from tracer.hypothesis.expectations.registry import GraphExpectationForm
from tracer.hypothesis.studies.study import Asked, direction_tokens

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

GRAPH = "graph"
"""The key of the section; stands for an intervention's name in the outcomes of its expectations."""
N_CONTROLS = 99
"""Other sets that an edge, or what is claimed of heads, is compared with."""
KEPT_FEATURES = 2048
"""Features kept where nobody says otherwise."""
MAX_FEATURES = 50_000
"""The edge matrix grows with the square: 10 GB."""
KEPT_HEADS = 256
"""Heads of attention, each at a position, that are nodes where nobody says how many."""
MAX_HEADS = 10_000
"""More rows and columns of the same matrix."""
MAX_CELLS = 2 * MAX_FEATURES**2
"""Of the edge matrix: as many features, with as many errors and tokens; 20 GB."""
LARGEST = 1e30
"""No edge, activation or value is larger; sums of edges stay far inside float32."""
MAX_JSON_BYTES = 100_000_000
"""Of a graph JSON; Neuronpedia takes no larger one."""


def _count_of_heads(written: object) -> int:
    if not isinstance(written, int):
        raise PydanticCustomError(
            "head_count",
            "found {found}; true or a whole number is expected.",
            {"found": show(written)},
        )
    return KEPT_HEADS * written if isinstance(written, bool) else written


HeadCount = Annotated[
    int,
    BeforeValidator(_count_of_heads),
    Field(ge=0, le=MAX_HEADS),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": MAX_HEADS}]}
    ),
]
"""How many heads are nodes; a file may also say true or false."""


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
    head_loadings: bool = Field(
        default=False,
        description="Find which attention heads carry each edge, and those between supernodes.",
    )
    heads: HeadCount = Field(
        default=0,
        description="Show heads of attention as nodes, the most relevant at their positions: so "
        f"many at most, {KEPT_HEADS} for true.",
    )
    expect: tuple[GraphExpectationForm, ...] = ()

    def asked_tokens(self) -> Iterator[Asked]:
        """Those of what is explained."""
        tokens = direction_tokens(self.toward)
        return (Asked((GRAPH, "toward"), token, self.prompts) for token in tokens)

    def problems(self, parts: Parts) -> Iterator[Problem]:
        """Prompts, directions and expectations that do not fit."""
        path: KeyPath = (GRAPH,)
        yield from parts.prompt_problems((*path, "prompts"), self.prompts)
        if self.expect and GRAPH in parts.interventions:
            message = "'graph' stands for the attribution graph in a verdict: give it another name"
            yield Problem(("interventions", GRAPH), message)
        without = parts.without_answer(self.prompts)
        if self.toward == "answer" and without:
            message = f"`answer` has no meaning on {prompts_named(without)}, which has no answer"
            yield Problem((*path, "toward"), message)
        for index, expectation in enumerate(self.expect):
            place = (*path, "expect", index)
            yield from expectation.graph_problems(parts, place, self.prompts)
