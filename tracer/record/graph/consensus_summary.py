"""The summary of a consensus graph: how much is shared, and the strongest of what is.

Influence is counted in the consensus graph itself, whose edges are medians.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tracer.record.graph.agreement import Agreement, Counted, Pruning
from tracer.record.graph.graph import AttributionGraph, listed, source_ids
from tracer.record.graph.influence import inputs, listed_influence


class Support(NamedTuple):
    """On how many prompts something is."""

    on: tuple[int, ...]
    """By pruning; the first is the one that shares are counted at."""
    held_out: int
    """Of the first, those that are held out."""
    same_sign: int
    """Of the first, those with the median's sign; all where there is no sign."""


class CoreNode(NamedTuple):
    """A feature, head, error or token of the core."""

    id: str
    """Its position is a place."""
    place: str
    activation: float | None
    """Median; None of errors and tokens."""
    influence: float
    support: Support


class CoreEdge(NamedTuple):
    """An edge of the core."""

    source: str
    source_place: str
    target: str
    """A feature's id, or a logit's label."""
    target_place: str
    """Empty of what is explained."""
    weight: float
    """Median."""
    influence: float
    """What it carries."""
    support: Support


class UncommonPlace(NamedTuple):
    """A place that some prompts lack."""

    place: str
    having: int
    """Prompts."""


@dataclass(frozen=True)
class ConsensusSummary:
    """How much of the prompts' graphs is shared, and the strongest of what is."""

    prompts: tuple[str, ...]
    held_out: tuple[str, ...]
    prunings: tuple[Pruning, ...]
    core: float
    n_places: int
    uncommon: tuple[UncommonPlace, ...]
    feature_spread: tuple[int, ...]
    """How many features are on exactly 1, 2, … prompts."""
    edge_spread: tuple[int, ...]
    n_features: int
    """Of the core."""
    n_edges: int
    n_first_features: int
    """Of these, those in front of all spans."""
    n_first_edges: int
    """Of these, those whose both ends are."""
    nodes: tuple[CoreNode, ...]
    """Most influential first."""
    edges: tuple[CoreEdge, ...]
    """Those that carry most first."""


def consensus_summary(
    graph: AttributionGraph, agreement: Agreement, n: int = 10
) -> ConsensusSummary:
    """Sum up a consensus graph.

    Args:
        graph: The core.
        agreement: Its own.
        n: How many nodes and edges are listed.
    """
    flat = listed(graph)
    influences, carried = listed_influence(flat, inputs(flat))
    names, at = source_ids(graph.nodes, graph.subject), graph.nodes.source_places[:, 1]
    places = [agreement.places[n].label for n in at.tolist()]
    is_first = at < next(n for n, place in enumerate(agreement.places) if place.text is None)
    beyond = np.zeros(len(graph.nodes.logits), dtype=bool)
    is_first_target = np.concatenate([is_first[: graph.nodes.n_features], beyond])
    targets = [*names[: graph.nodes.n_features], *(each.label for each in graph.nodes.logits)]
    activations = [float(each) for each in graph.nodes.activations]
    nodes = [
        CoreNode(
            names[column],
            places[column],
            activations[column] if column < len(activations) else None,
            float(influences[column]),
            _support(agreement.nodes, column),
        )
        for column in np.argsort(-influences, kind="stable")[:n].tolist()
    ]
    edges = [
        CoreEdge(
            names[flat.sources[edge]],
            places[flat.sources[edge]],
            targets[row := int(flat.targets[edge])],
            places[row] if row < graph.nodes.n_features else "",
            float(flat.weights[edge]),
            float(carried[edge]),
            _support(agreement.edges, edge),
        )
        for edge in np.argsort(-carried, kind="stable")[:n].tolist()
    ]
    having = zip(agreement.places, agreement.having, strict=True)
    return ConsensusSummary(
        prompts=agreement.prompts,
        held_out=agreement.held_out,
        prunings=agreement.prunings,
        core=agreement.core,
        n_places=len(agreement.places),
        uncommon=tuple(
            UncommonPlace(place.label, n) for place, n in having if n < agreement.n_prompts
        ),
        feature_spread=agreement.nodes.spread,
        edge_spread=agreement.edges.spread,
        n_features=graph.nodes.n_features,
        n_edges=len(flat.weights),
        n_first_features=int(is_first[: graph.nodes.n_features].sum()),
        n_first_edges=int((is_first[flat.sources] & is_first_target[flat.targets]).sum()),
        nodes=tuple(nodes),
        edges=tuple(edges),
    )


def _support(counted: Counted, number: int) -> Support:
    on = tuple(int(each) for each in counted.on[number])
    return Support(on, int(counted.held_out[number]), int(counted.same_sign[number]))
