"""A graph as the interactive view draws it: plain JSON, small enough for a page and a round trip.

The view has token columns and layer rows. What it cannot hold is cut here, by influence, and stated
in `cut`: at most a thousand nodes and five thousand links are drawn, and `input` of
a node is Σ |edges| into it before the cut, so that shares stay those of the saved graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from jaxtyping import Float, Int

from tracer.hypothesis.neuronpedia_ids import (
    attention_error_id,
    embedding_id,
    error_id,
)
from tracer.record.graph.agreement import Agreement
from tracer.record.graph.graph import ListedGraph, Nodes
from tracer.record.graph.heads import HeadLoadings
from tracer.record.graph.influence import inputs, listed_influence
from tracer.report.agreement import edge_words, node_facts
from tracer.report.graph_tracing import TracedList, traced_lists
from tracer.report.text import clean, feature_name, head_name, heads_text, shorten, visible_token

MAX_NODES = 1_000
MAX_LINKS = 5_000
_LONGEST = 120
"""Characters of a token or label; a tooltip holds no more."""

_UNCLAMPED = "none can set it: tracer has no dictionary of attention"

Place = tuple[int, int, int]
"""(layer, position, index) of a feature."""


class NodeData(TypedDict):
    """One node; `layer` is −1 for a token and the number of layers for a logit."""

    id: str
    kind: str
    """`feature`, `head`, `error`, `token` or `logit`; of attention dictionaries `attention` and
    `attention-error`."""
    layer: int
    position: int
    token: str
    """What stands at its position, spaces visible."""
    label: str
    activation: float | None
    influence: float
    rank: float
    """Share of all influence that the nodes down to this one carry together, 0 to 1."""
    input: float
    """Σ |edges| into it in the saved graph; 0 for a token or an error."""
    supernodes: list[int]
    facts: list[list[str]]
    """What else is known of it, as (heading, text)."""
    head: NotRequired[str]
    """Of a head, `layer.head`, as a hypothesis names it."""
    tracing: NotRequired[list[TracedList]]
    """Of an attention feature, why it looks where it does, where the graph tells."""


class SupernodeData(TypedDict):
    """A group of nodes with a name."""

    name: str
    label: str
    n_features: int
    """Members it has, in the graph or not."""
    declared: NotRequired[str]
    """What a hypothesis declares it by, as YAML: its name and what stands under it."""


class GraphData(TypedDict):
    """Everything the view needs; `hash` says whether it must be drawn anew."""

    hash: str
    title: str
    tokens: dict[str, str]
    """By position, those that stand above a kept node; JSON knows no other keys than text."""
    n_layers: int
    nodes: list[NodeData]
    links: list[list[int | float]]
    """(source, target, weight, share of the target's |input|), the most influential first."""
    supernodes: list[SupernodeData]
    heads: NotRequired[list[str]]
    """By link, which attention heads carry it, where the graph tells."""
    on: NotRequired[list[str]]
    """By link, on how many prompts it is; of a consensus alone."""
    cut: str
    """What was left out, in a sentence; empty where nothing was."""
    prompt: NotRequired[str]
    """The name that the run has for the prompt."""
    spans: NotRequired[dict[str, str]]
    """By position, the span of the prompt that ends there."""


class SupernodePlaces(TypedDict):
    """A supernode, by the places of its features in this graph's prompt."""

    name: str
    label: str
    places: list[Place]


class NamedPlaces(NamedTuple):
    """How a hypothesis names a prompt, the places in it, and supernodes."""

    prompt: str
    spans: Mapping[int, str]
    """By position, the span that ends there."""
    declared: Mapping[str, str]
    """By supernode, see `SupernodeData`."""


def graph_data(
    graph: ListedGraph,
    title: str,
    groups: Sequence[SupernodePlaces] = (),
    facts: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    names: Mapping[str, str] | None = None,
    max_nodes: int = MAX_NODES,
    max_links: int = MAX_LINKS,
    named: NamedPlaces | None = None,
) -> GraphData:
    """The view of a graph.

    Args:
        graph: Pruned or not.
        title: What the view is called.
        groups: Supernodes; their features stay as long as there is room.
        facts: More to tell of a node, by its id.
        names: What features are called, by id; else they are called by their place.
        max_nodes: Kept: logits, then supernodes, then the most influential.
        max_links: Kept: those between kept nodes that carry the most influence.
        named: Of a run's graph, so that a selection can be written as a hypothesis has it.
    """
    sums = inputs(graph)
    found, carried = listed_influence(graph, sums)
    membership = _membership(graph.nodes, groups)
    kept = _kept(graph.nodes, found, membership, max_nodes)
    links, chosen, n_between = _links(graph, sums, carried, kept, max_links)
    nodes = _nodes(graph, found, sums, membership, facts or {}, names or {}, kept)
    data = GraphData(
        hash="",
        title=_text(title),
        tokens={str(n["position"]): n["token"] for n in nodes},
        n_layers=graph.subject.n_layers,
        nodes=nodes,
        links=links,
        supernodes=[_supernode(group, named) for group in groups],
        cut=_cut(graph, len(nodes), len(links), n_between),
    )
    if named is not None:
        data["prompt"] = named.prompt
        data["spans"] = {str(position): span for position, span in named.spans.items()}
    if graph.heads is not None:
        data["heads"] = [_heads(graph, graph.heads, edge) for edge in chosen.tolist()]
    if graph.agreement is not None:
        data["on"] = [edge_words(graph.agreement, edge) for edge in chosen.tolist()]
    data["hash"] = hashlib.sha256(to_json(data).encode()).hexdigest()[:16]
    return data


def _supernode(group: SupernodePlaces, named: NamedPlaces | None) -> SupernodeData:
    name, n_features = group["name"], len(group["places"])
    found = SupernodeData(name=name, label=_text(group["label"]), n_features=n_features)
    if named is not None and name in named.declared:
        found["declared"] = named.declared[name]
    return found


def to_json(data: GraphData) -> str:
    """One line, the same for the same graph."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _membership(nodes: Nodes, groups: Sequence[SupernodePlaces]) -> dict[int, list[int]]:
    """Which supernodes each feature (by row) is in."""
    found: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        places = np.array(group["places"], dtype=np.int64).reshape(-1, 3)
        for row in nodes.find(places).tolist():
            if row >= 0:
                found.setdefault(row, []).append(number)
    return found


def _kept(
    nodes: Nodes,
    found: Float[np.ndarray, " source"],
    membership: Mapping[int, list[int]],
    max_nodes: int,
) -> Int[np.ndarray, " kept"]:
    """Columns of the sources that stay, ascending."""
    room = max(0, max_nodes - len(nodes.logits))
    first = np.zeros(nodes.n_sources, dtype=bool)
    first[list(membership)] = True
    order = np.lexsort((-found, ~first))
    return np.sort(order[:room])


def _links(
    graph: ListedGraph,
    sums: Float[np.ndarray, " target"],
    carried: Float[np.ndarray, " edge"],
    kept: Int[np.ndarray, " kept"],
    max_links: int,
) -> tuple[list[list[int | float]], Int[np.ndarray, " link"], int]:
    """The links that stay, their edges, and how many there are between the kept nodes."""
    nodes, n_features = graph.nodes, graph.nodes.n_features
    column = np.full(nodes.n_sources, -1)
    column[kept] = np.arange(len(kept))
    row = np.concatenate([column[:n_features], len(kept) + np.arange(len(nodes.logits))])
    between = np.flatnonzero((column[graph.sources] >= 0) & (row[graph.targets] >= 0))
    chosen = between[np.argsort(-carried[between], kind="stable")[:max_links]]
    return (
        [
            [int(column[source]), int(row[target]), _short(weight), _short(weight / sums[target])]
            for source, target, weight in zip(
                graph.sources[chosen].tolist(),
                graph.targets[chosen].tolist(),
                graph.weights[chosen].tolist(),
                strict=True,
            )
        ],
        chosen,
        len(between),
    )


def _heads(graph: ListedGraph, heads: HeadLoadings, edge: int) -> str:
    return heads_text(heads.strongest(edge), float(graph.weights[edge]))


def _nodes(
    graph: ListedGraph,
    found: Float[np.ndarray, " source"],
    sums: Float[np.ndarray, " target"],
    membership: Mapping[int, list[int]],
    facts: Mapping[str, Sequence[tuple[str, str]]],
    names: Mapping[str, str],
    kept: Int[np.ndarray, " kept"],
) -> list[NodeData]:
    ranks = _ranks(found)
    sources = [
        _source(graph, column, float(found[column]), float(ranks[column]))
        for column in kept.tolist()
    ]
    for column, node in zip(kept.tolist(), sources, strict=True):
        node["supernodes"] = membership.get(column, [])
        if column < graph.nodes.n_features:
            node["input"] = _short(float(sums[column]))
        if node["kind"] == "head":
            layer, _, index = graph.nodes.features[column].tolist()
            node["head"] = f"{layer}.{index}"
    logits = [
        _logit(graph, number, _short(float(sums[graph.nodes.n_features + number])))
        for number in range(len(graph.nodes.logits))
    ]
    if graph.tracings is not None:
        for node in sources:
            if node["id"] in graph.tracings.features:
                node["tracing"] = traced_lists(graph, node["id"], names)
    shown = [*sources, *logits]
    if graph.agreement is not None:
        n_sources = graph.nodes.n_sources
        numbers = [*kept.tolist(), *range(n_sources, n_sources + len(logits))]
        facts = _with_support(graph.agreement, numbers, shown, facts)
    for node in shown:
        node["facts"] = [[_text(k), _text(v)] for k, v in facts.get(node["id"], ())]
        if node["kind"] == "attention":
            node["facts"].append(["Clamps", _UNCLAMPED])
        node["label"] = _text(names.get(node["id"], node["label"]))
    return shown


def _with_support(
    agreement: Agreement,
    numbers: Sequence[int],
    nodes: Sequence[NodeData],
    facts: Mapping[str, Sequence[tuple[str, str]]],
) -> dict[str, Sequence[tuple[str, str]]]:
    """The facts of nodes, and before them on how many prompts each is."""
    return {
        node["id"]: [
            *node_facts(agreement, number, has_sign=node["activation"] is not None),
            *facts.get(node["id"], ()),
        ]
        for number, node in zip(numbers, nodes, strict=True)
    }


def _ranks(found: Float[np.ndarray, " source"]) -> Float[np.ndarray, " source"]:
    """Share of all influence down to each source, the largest first."""
    order = np.argsort(-found, kind="stable")
    ranks = np.empty(len(found))
    total = found.sum()
    ranks[order] = np.cumsum(found[order]) / total if total > 0 else 1.0
    return np.minimum(ranks, 1.0)


def _source(graph: ListedGraph, column: int, influence: float, rank: float) -> NodeData:
    nodes, subject = graph.nodes, graph.subject
    if column < nodes.n_features:
        layer, position, index = nodes.features[column].tolist()
        kind, name = "feature", nodes.id_of_row(column)
        label = feature_name(layer, index)
        if column in nodes.attention:
            of_heads = "head", head_name(layer, index)
            kind, label = of_heads if nodes.heads else ("attention", f"attention {label}")
        activation = _short(float(nodes.activations[column]))
    elif column < nodes.error_columns.stop:
        layer, position = nodes.errors[column - nodes.n_features].tolist()
        number, activation = column - nodes.n_features, None
        of_attention = number in nodes.attention_errors
        name = (attention_error_id if of_attention else error_id)(layer, position)
        kind = "attention-error" if of_attention else "error"
        label = f"error{' of attention' if of_attention else ''}, layer {layer}"
    else:
        layer, position = -1, int(nodes.tokens[column - nodes.error_columns.stop])
        kind, activation = "token", None
        name = embedding_id(subject.token_ids[position], position)
        label = f"token {_text(visible_token(subject.tokens[position]))}"
    return _node(graph, name, kind, (layer, position), label, activation, influence, rank)


def _logit(graph: ListedGraph, number: int, total: float) -> NodeData:
    logit, subject = graph.nodes.logits[number], graph.subject
    shown = logit.label if logit.token is None else visible_token(logit.label)
    label = f"output {_text(shown)}"
    place = (subject.n_layers, len(subject.tokens) - 1)
    node = _node(graph, f"L_{number}", "logit", place, label, None, logit.weight, 0.0)
    node["input"] = total
    return node


def _node(
    graph: ListedGraph,
    name: str,
    kind: str,
    place: tuple[int, int],
    label: str,
    activation: float | None,
    influence: float,
    rank: float,
) -> NodeData:
    layer, position = place
    return NodeData(
        id=name,
        kind=kind,
        layer=layer,
        position=position,
        token=_text(visible_token(graph.subject.tokens[position])),
        label=label,
        activation=activation,
        influence=_short(influence),
        rank=_short(rank),
        input=0.0,
        supernodes=[],
        facts=[],
    )


def _cut(graph: ListedGraph, n_nodes: int, n_links: int, n_between: int) -> str:
    n_all = graph.nodes.n_sources + len(graph.nodes.logits)
    parts: list[str] = []
    if n_nodes < n_all:
        parts.append(f"the {n_nodes:,} most influential of {n_all:,} nodes")
    if n_links < n_between:
        parts.append(f"the {n_links:,} links that carry most of {n_between:,} between them")
    return f"Shown: {' and '.join(parts)}." if parts else ""


def _text(text: str) -> str:
    return shorten(str(clean(text)), _LONGEST)


def _short(value: float) -> float:
    """Four digits are more than anybody reads off a graph; what is not finite is 0."""
    return float(f"{value:.4g}") if np.isfinite(value) else 0.0
