"""What a consensus reads of each prompt's graph: nodes and edges by numbers that all share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.record.graph.agreement import Pruning
from tracer.record.graph.graph import AttributionGraph, Logit, Nodes, Subject
from tracer.record.graph.heads import HeadNodes
from tracer.record.graph.prune import prune

ANSWER, FOIL, DIFFERENCE = "answer", "foil", "difference"
TARGET = 2**31
"""An edge's number is its target's times this, plus its source's."""

Kind = Literal["attention", "feature", "attention error", "error", "token", "logit"]
FEATURES: tuple[Kind, ...] = ("attention", "feature")


class SharedNode(NamedTuple):
    """What a node is, on every prompt that has it."""

    kind: Kind
    layer: int
    place: int
    """Its number; of what is explained −1."""
    number: int
    """Index of a feature or a head; token of a logit, or −1 where that has a role; else 0."""
    role: str = ""
    """Of a logit, or its token's text."""


@dataclass(frozen=True)
class PromptGraph:
    """A graph, and what is known of its prompt."""

    name: str
    """As in the alignment."""
    held_out: bool
    answer: int | None
    """Its token."""
    graph: AttributionGraph


class Items(NamedTuple):
    """Nodes or edges of one prompt's graph, by numbers that are those of all prompts."""

    by_pruning: tuple[Int[np.ndarray, " item"], ...]
    """Ascending."""
    values: dict[str, Float[np.ndarray, " item"]]
    """Of those at the first pruning; NaN where there is none."""


@dataclass(frozen=True)
class ReadGraph:
    """What is kept of a prompt's graph."""

    held_out: bool
    nodes: Items
    edges: Items
    labels: dict[int, str]
    """Of what is explained, by number."""
    subject: Subject
    heads: HeadNodes | None


class Numbers(dict[SharedNode, int]):
    """A number for each node, given when it is first asked for."""

    def __missing__(self, node: SharedNode) -> int:
        self[node] = len(self)
        return self[node]


def read_graph(
    given: PromptGraph,
    places: Int[np.ndarray, " position"],
    prunings: Sequence[Pruning],
    numbers: Numbers,
) -> ReadGraph:
    """Prune a graph in each way, unless it was cut so already, and number what is left."""
    by_pruning = [
        given.graph if given.graph.pruning == each else prune(given.graph, each.nodes, each.edges)
        for each in prunings
    ]
    found = [_numbered(each, places, given.answer, numbers) for each in by_pruning]
    first = by_pruning[0]
    nodes, n_features = first.nodes, first.nodes.n_features
    unknown = np.full(nodes.n_sources + len(nodes.logits), np.nan)
    values = {name: unknown.copy() for name in ("activation", "constant", "value", "logit")}
    values["activation"][:n_features] = nodes.activations
    values["logit"][nodes.n_sources :] = [logit.weight for logit in nodes.logits]
    for name, sums in (("constant", first.constants), ("value", first.values)):
        values[name][:n_features] = sums[:n_features]
        values[name][nodes.n_sources :] = sums[n_features:]
    order = np.argsort(found[0].nodes)
    weights = first.edges[np.nonzero(first.edges)]
    ascending = np.argsort(found[0].edges)
    return ReadGraph(
        given.held_out,
        Items(
            tuple(np.sort(each.nodes) for each in found),
            {name: some[order] for name, some in values.items()},
        ),
        Items(
            tuple(np.sort(each.edges) for each in found),
            {"weight": weights[ascending].astype(np.float64)},
        ),
        dict(zip(found[0].nodes[nodes.n_sources :].tolist(), _labels(nodes), strict=True)),
        first.subject,
        nodes.heads,
    )


def _labels(nodes: Nodes) -> list[str]:
    return [logit.label for logit in nodes.logits]


class _Numbered(NamedTuple):
    nodes: Int[np.ndarray, " node"]
    """By the graph's columns, then its logits."""
    edges: Int[np.ndarray, " edge"]
    """By target, then source."""


def _numbered(
    graph: AttributionGraph,
    places: Int[np.ndarray, " position"],
    answer: int | None,
    numbers: Numbers,
) -> _Numbered:
    nodes = graph.nodes
    found = np.array([numbers[node] for node in _nodes(nodes, places, answer)], dtype=np.int64)
    rows = np.concatenate([found[: nodes.n_features], found[nodes.n_sources :]])
    targets, sources = np.nonzero(graph.edges)
    return _Numbered(found, rows[targets] * TARGET + found[sources])


def _nodes(
    nodes: Nodes, places: Int[np.ndarray, " position"], answer: int | None
) -> Iterator[SharedNode]:
    """By the graph's columns, then its logits."""
    attention, errors = set(nodes.attention.tolist()), set(nodes.attention_errors.tolist())
    at = places.tolist()
    for row, (layer, pos, index) in enumerate(nodes.features.tolist()):
        yield SharedNode("attention" if row in attention else "feature", layer, at[pos], index)
    for row, (layer, pos) in enumerate(nodes.errors.tolist()):
        yield SharedNode("attention error" if row in errors else "error", layer, at[pos], 0)
    for pos in nodes.tokens.tolist():
        yield SharedNode("token", 0, at[pos], 0)
    is_choice = len(nodes.logits) == 2 and answer in [each.token for each in nodes.logits]
    for logit in nodes.logits:
        yield _explained(logit, answer, is_choice=is_choice)


def _explained(logit: Logit, answer: int | None, *, is_choice: bool) -> SharedNode:
    """By its role: the answer, the other one of two tokens, a direction; or else by its token."""
    if logit.token is None:
        return SharedNode("logit", 0, -1, -1, DIFFERENCE)
    if logit.token == answer:
        return SharedNode("logit", 0, -1, -1, ANSWER)
    return SharedNode("logit", 0, -1, *((-1, FOIL) if is_choice else (logit.token, logit.label)))
