"""Every node of a graph under its id: where it stands in the edge matrix, and how people read it.

Ids are those of the interactive view (`tracer.report.graph_data`): a source's is that of the graph
JSON, a logit's is `L_` and its number. They come back from a browser, an address or a file, so they
are looked up here and nowhere taken at their word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracer.graph.frontend_ids import embedding_id, error_id, feature_id
from tracer.graph.graph import AttributionGraph, Subject
from tracer.graph.nodes import Nodes
from tracer.report.text import shorten, show_token

LONGEST = 120
"""Characters of a token."""
Kind = Literal["feature", "error", "token", "logit"]


@dataclass(frozen=True)
class Node:
    """One node, as a table says it."""

    id: str
    kind: Kind
    layer: int | None
    """None for tokens and logits, which stand below and above all layers."""
    pos: int
    token: str
    """What stands at its position, spaces visible."""
    label: str
    activation: float | None
    """Of features."""


@dataclass(frozen=True)
class Index:
    """The ids of a graph: sources in the order of its columns, then logits."""

    graph: AttributionGraph
    ids: tuple[str, ...]
    places: Mapping[str, int]
    """Number in `ids`."""

    def known(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Those that this graph has, each once, in the order given."""
        return tuple(name for name in dict.fromkeys(ids) if name in self.places)

    def column(self, name: str) -> int | None:
        """Where a node sends from; None for a logit."""
        place = self.places[name]
        return place if place < self.graph.nodes.n_sources else None

    def row(self, name: str) -> int | None:
        """Where a node receives; None for errors and tokens."""
        place, nodes = self.places[name], self.graph.nodes
        if place < nodes.n_features:
            return place
        beyond = place - nodes.n_sources
        return nodes.n_features + beyond if beyond >= 0 else None

    def of_row(self, row: int) -> str:
        """The id of the feature or logit in a row."""
        nodes = self.graph.nodes
        return self.ids[row if row < nodes.n_features else row - nodes.n_features + nodes.n_sources]

    def is_feature(self, name: str) -> bool:
        """Whether the id names a feature of this graph."""
        return self.places.get(name, len(self.ids)) < self.graph.nodes.n_features

    def node(self, name: str) -> Node:
        """What is told of a node."""
        nodes, place = self.graph.nodes, self.places[name]
        if place < nodes.n_features:
            layer, pos, index = nodes.features[place].tolist()
            told = f"L{layer} feature {index}"
            return self._told(name, "feature", layer, pos, told, float(nodes.activations[place]))
        if place < nodes.error_columns.stop:
            layer, pos = nodes.errors[place - nodes.n_features].tolist()
            return self._told(name, "error", layer, pos, f"L{layer} error")
        if place < nodes.n_sources:
            pos = int(nodes.tokens[place - nodes.error_columns.stop])
            return self._told(name, "token", None, pos, "token")
        label = nodes.logits[place - nodes.n_sources].label
        last = len(self.graph.subject.tokens) - 1
        return self._told(name, "logit", None, last, f"output {_short(label)}")

    def _told(
        self,
        name: str,
        kind: Kind,
        layer: int | None,
        pos: int,
        told: str,
        activation: float | None = None,
    ) -> Node:
        token = _short(self.graph.subject.tokens[pos])
        label = told if kind == "logit" else f"{told} on {token}"
        return Node(name, kind, layer, pos, token, label, activation)


def _short(token: str) -> str:
    """A token as a heading or a cell has room for it."""
    return shorten(show_token(token), LONGEST)


def source_names(nodes: Nodes, subject: Subject) -> list[str]:
    """Ids of features, errors and tokens, in the order of the edges' columns."""
    return [
        *(feature_id(layer, index, pos) for layer, pos, index in nodes.features.tolist()),
        *(error_id(layer, pos) for layer, pos in nodes.errors.tolist()),
        *(embedding_id(subject.token_ids[pos], pos) for pos in nodes.tokens.tolist()),
    ]


def index_of(graph: AttributionGraph) -> Index:
    """The ids of a graph."""
    logits = (f"L_{number}" for number in range(len(graph.nodes.logits)))
    ids = (*source_names(graph.nodes, graph.subject), *logits)
    return Index(graph, ids, {name: place for place, name in enumerate(ids)})
