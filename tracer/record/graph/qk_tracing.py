"""Why features of attention dictionaries look where they do, as Neuronpedia's graph files tell it.

The score of a query and a key, before the softmax, is bilinear in the residual stream, so it is a
sum over pairs of nodes: one on the query's side, one on the key's. A file keeps, of an attention
feature, the strongest pairs and, of each side, the nodes whose pairs add up to most. Nodes that the
graph has lost, or never had (biases, which are constant), may be named; each is described.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tracer.hypothesis.studies.graph import LARGEST

MOST_CONTRIBUTORS = 10_000
"""Pairs, or nodes of one side, that are read of a feature."""

_Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


class _Part(BaseModel):
    """No value is converted, no unknown key allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class QkTracing(_Part):
    """What adds to the score of one attention feature, the strongest first; ids and weights.

    Weights are signed, in units of the score as its writer scales it.
    """

    pairs: Annotated[tuple[tuple[str, str, _Number], ...], Field(max_length=MOST_CONTRIBUTORS)] = ()
    """Query side, key side, weight."""
    queries: Annotated[tuple[tuple[str, _Number], ...], Field(max_length=MOST_CONTRIBUTORS)] = ()
    """Nodes of the query side, each with all of its pairs."""
    keys: Annotated[tuple[tuple[str, _Number], ...], Field(max_length=MOST_CONTRIBUTORS)] = ()
    """Nodes of the key side, likewise."""

    def ids(self) -> list[str]:
        """The nodes it names, each once."""
        pairs = [name for query, key, _ in self.pairs for name in (query, key)]
        sides = [name for name, _ in (*self.queries, *self.keys)]
        return list(dict.fromkeys([*pairs, *sides]))


class Contributor(_Part):
    """A node that a tracing names, in the graph or not."""

    kind: str
    """The type that the file gives it."""
    layer: Annotated[int, Field(ge=-1, le=100_000)]
    """−1 for a token."""
    position: Annotated[int, Field(ge=0, lt=2**31)]
    label: str
    """What the page calls it; may be empty."""
    activation: _Number | None = None


class QkTracings(_Part):
    """Those of a graph."""

    features: Mapping[str, QkTracing]
    """By the id of the attention feature."""
    contributors: Mapping[str, Contributor]
    """Every node that they name, by its id."""

    def of(self, ids: Collection[str]) -> QkTracings | None:
        """Those of some features; None where they have none."""
        kept = {name: each for name, each in self.features.items() if name in ids}
        if not kept:
            return None
        named = dict.fromkeys(name for each in kept.values() for name in each.ids())
        return QkTracings(
            features=kept, contributors={name: self.contributors[name] for name in named}
        )
