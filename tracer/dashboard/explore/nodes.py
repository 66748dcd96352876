"""The nodes of a graph under their ids, and their links as signed shares.

Ids are those of the interactive view (`tracer.report.graph_view`). They come back from a browser,
an address or a file, so each is looked up here before it is used. A page shows a part of a stored
graph (`part_of`): the matrix of 20,000 nodes would be too large.

The share of a link is its edge over the sum of |edges| that enter the same target. The graph of one
output has its edges; that of a difference of two, those of the first logit less those of the
second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.evidence.wording import MINUS
from tracer.record.graph.graph import (
    AttributionGraph,
    ListedGraph,
    Logit,
    heads_of_edge,
    source_ids,
)
from tracer.record.graph.heads import HeadShare
from tracer.record.graph.influence import rows_of
from tracer.report.text import feature_name, head_name, shorten, visible_token

LONGEST = 120
"""Characters of a token."""
MOST_FOUND = 200
"""Nodes that a search gives back."""
MOST_LINKS = 40
"""Links told of on each side."""
Kind = Literal["feature", "head", "attention", "error", "attention-error", "token", "logit"]


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
    activation: float | None = None
    """Of features; of heads, their value."""


@dataclass(frozen=True)
class GraphIndex:
    """The ids of a graph: sources in the order of its columns, then logits."""

    graph: AttributionGraph
    ids: tuple[str, ...]
    places: Mapping[str, int]
    """Number in `ids`."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """What features are called, by id; the others are called by their place."""

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
        """Whether the id names a feature of this graph, which no head is."""
        nodes, place = self.graph.nodes, self.places.get(name, len(self.ids))
        return place < nodes.n_features and not (nodes.heads and place in nodes.attention)

    def node(self, name: str) -> Node:
        """What is told of a node."""
        nodes, place = self.graph.nodes, self.places[name]
        tokens = self.graph.subject.tokens
        if place < nodes.n_features:
            layer, pos, index = nodes.features[place].tolist()
            token, activation = _short(tokens[pos]), float(nodes.activations[place])
            label = f"{self.names.get(name) or feature_name(layer, index)} on {token}"
            if place in nodes.attention and nodes.heads:
                label = f"{head_name(layer, index)} on {token}"
                return Node(name, "head", layer, pos, token, label, activation)
            if place in nodes.attention:
                label = f"attention {label}"
                return Node(name, "attention", layer, pos, token, label, activation)
            return Node(name, "feature", layer, pos, token, label, activation)
        if place < nodes.error_columns.stop:
            number = place - nodes.n_features
            layer, pos = nodes.errors[number].tolist()
            token = _short(tokens[pos])
            if number in nodes.attention_errors:
                label = f"L{layer} error of attention on {token}"
                return Node(name, "attention-error", layer, pos, token, label)
            return Node(name, "error", layer, pos, token, f"L{layer} error on {token}")
        if place < nodes.n_sources:
            pos = int(nodes.tokens[place - nodes.error_columns.stop])
            token = _short(tokens[pos])
            return Node(name, "token", None, pos, token, f"token on {token}")
        logit = nodes.logits[place - nodes.n_sources]
        shown = _short(logit.label) if logit.token is not None else shorten(logit.label, LONGEST)
        label = f"output {shown}"
        return Node(name, "logit", None, len(tokens) - 1, _short(tokens[-1]), label)


def _short(token: str) -> str:
    return shorten(visible_token(token), LONGEST)


def index_of(graph: AttributionGraph, names: Mapping[str, str] | None = None) -> GraphIndex:
    """The ids of a graph."""
    logits = (f"L_{number}" for number in range(len(graph.nodes.logits)))
    ids = (*source_ids(graph.nodes, graph.subject), *logits)
    places = {name: place for place, name in enumerate(ids)}
    return GraphIndex(graph, ids, places, names or {})


def search(index: GraphIndex, groups: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, ...]:
    """Ids of the nodes that every word of the text is found in, whatever its case.

    A node is looked through by its id, its label, its token and the supernodes it is in; in the
    order of the graph, at most `MOST`.
    """
    words = text.casefold().split()
    if not words:
        return ()
    homes: dict[str, list[str]] = {}
    for name, ids in groups.items():
        for each in ids:
            homes.setdefault(each, []).append(name)

    def is_found(name: str) -> bool:
        node = index.node(name)
        told = " ".join([name, node.label, node.kind, *homes.get(name, ())]).casefold()
        return all(word in told for word in words)

    return tuple(islice(filter(is_found, index.ids), MOST_FOUND))


def part_of(graph: ListedGraph, ids: Collection[str]) -> AttributionGraph:
    """Only the features and errors with these ids; tokens and logits stay.

    Constants and values are left at 0: a part has no sums to close.
    """
    nodes, wanted = graph.nodes, set(ids)
    kept = np.array([name in wanted for name in source_ids(nodes, graph.subject)], dtype=bool)
    kept[nodes.token_columns] = True
    smaller = nodes.keep(kept[: nodes.n_features], kept[nodes.error_columns])
    columns = np.cumsum(kept) - 1
    stays = np.concatenate([kept[: nodes.n_features], np.ones(len(nodes.logits), dtype=bool)])
    rows = np.cumsum(stays) - 1
    between = kept[graph.sources] & stays[graph.targets]
    edges = np.zeros((smaller.n_targets, smaller.n_sources), dtype=np.float32)
    edges[rows[graph.targets[between]], columns[graph.sources[between]]] = graph.weights[between]
    none = np.zeros(smaller.n_targets, dtype=np.float32)
    heads = None if graph.heads is None else graph.heads.of(between)
    return AttributionGraph(graph.subject, smaller, edges, none, none, heads=heads)


class Link(NamedTuple):
    """The edge between a node and another."""

    id: str
    """Of the other one."""
    weight: float
    share: float
    """−1 to 1."""
    heads: tuple[HeadShare, ...] = ()
    """What attention heads carry of it, where the graph tells; the strongest first."""


class Connections(NamedTuple):
    """The strongest links of a node by |share|, and how many there are in all."""

    inputs: tuple[Link, ...]
    n_inputs: int
    outputs: tuple[Link, ...]
    n_outputs: int


def entering(graph: AttributionGraph) -> Float[np.ndarray, " target"]:
    """The sum of |edges| that enter each target."""
    sums = np.zeros(graph.nodes.n_targets)
    for rows in rows_of(slice(0, graph.nodes.n_targets), graph.nodes.n_sources):
        sums[rows] = np.abs(graph.edges[rows]).sum(axis=1)
    return sums


def connections(
    index: GraphIndex, sums: Float[np.ndarray, " target"], name: str, most: int = MOST_LINKS
) -> Connections:
    """The links of a node, at most `most` on each side; `sums` are those of `entering`."""
    graph, row, column = index.graph, index.row(name), index.column(name)
    inputs = np.zeros(0) if row is None else graph.edges[row]
    outputs = np.zeros(0) if column is None else graph.edges[:, column]
    mine = np.zeros(len(inputs)) if row is None else np.full(len(inputs), sums[row])
    theirs = sums if column is not None else np.zeros(0)
    received, sent = _strongest(inputs, mine, most), _strongest(outputs, theirs, most)
    return Connections(
        tuple(
            Link(index.ids[n], *link, () if row is None else heads_of_edge(graph, row, n))
            for n, link in received
        ),
        int(np.count_nonzero(inputs)),
        tuple(
            Link(index.of_row(n), *link, () if column is None else heads_of_edge(graph, n, column))
            for n, link in sent
        ),
        int(np.count_nonzero(outputs)),
    )


def _strongest(
    edges: Float[np.ndarray, " n"], sums: Float[np.ndarray, " n"], most: int
) -> list[tuple[int, tuple[float, float]]]:
    """Number, weight and share of the largest, those of one size in the graph's order."""
    there: Int[np.ndarray, " m"] = np.flatnonzero(edges)
    shares = edges[there] / sums[there]
    order = np.argsort(-np.abs(shares), kind="stable")[:most]
    return [(int(there[n]), (float(edges[there[n]]), float(shares[n]))) for n in order]


class AskedLogits(NamedTuple):
    """Which of a graph's logits are asked about: all, one, or one less another."""

    logit: int | None = None
    less: int | None = None


def choices(logits: Sequence[Logit]) -> tuple[AskedLogits, ...]:
    """All together, each alone, and the first less each of the others."""
    if len(logits) < 2:
        return (AskedLogits(),)
    alone = (AskedLogits(number) for number in range(len(logits)))
    return (AskedLogits(), *alone, *(AskedLogits(0, number) for number in range(1, len(logits))))


def toward(graph: ListedGraph, asked: AskedLogits) -> ListedGraph:
    """The graph with what is asked for its only logit; all of it where nothing is."""
    logits = graph.nodes.logits
    if asked.logit is None:
        return graph
    if asked.less is None:
        return _explaining(graph, logits[asked.logit], {asked.logit: 1.0})
    names = [visible_token(logits[number].label) for number in (asked.logit, asked.less)]
    logit = Logit(f"{names[0]} {MINUS} {names[1]}", None, 1.0)
    return _explaining(graph, logit, {asked.logit: 1.0, asked.less: -1.0})


def _explaining(graph: ListedGraph, logit: Logit, signs: dict[int, float]) -> ListedGraph:
    nodes = graph.nodes
    below = graph.targets < nodes.n_features
    row = np.zeros(nodes.n_sources, dtype=np.float32)
    for number, sign in signs.items():
        mine = graph.targets == nodes.n_features + number
        row[graph.sources[mine]] += np.float32(sign) * graph.weights[mine]
    sources = np.flatnonzero(row)
    heads = graph.heads
    if heads is not None:
        # The strongest heads of two edges are not those of their difference: of it none are told.
        mine = np.flatnonzero(graph.targets == nodes.n_features + next(iter(signs)))
        alone = heads.of(mine) if len(signs) == 1 else heads.nothing(len(sources))
        heads = heads.of(below).joined(alone)
    return replace(
        graph,
        nodes=replace(nodes, logits=(logit,)),
        targets=np.concatenate([graph.targets[below], np.full(len(sources), nodes.n_features)]),
        sources=np.concatenate([graph.sources[below], sources]),
        weights=np.concatenate([graph.weights[below], row[sources]]),
        heads=heads,
    )
