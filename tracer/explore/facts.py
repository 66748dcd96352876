"""What a run's files say of one feature, without the model that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tracer.explore.grouping import Groups
from tracer.explore.index import Index
from tracer.graph.edge_list import ListedGraph
from tracer.record import Record
from tracer.report.text import show_token


class Firing(NamedTuple):
    """One token of the prompt on which a feature is kept in the graph."""

    pos: int
    token: str
    activation: float


@dataclass(frozen=True)
class Facts:
    """One feature."""

    layer: int
    index: int
    pos: int
    activation: float
    influence: float
    fires: tuple[Firing, ...]
    """Everywhere in the stored graph, strongest first."""
    groups: tuple[str, ...]
    scores: tuple[tuple[str, float], ...]
    """By the run's supernodes that it belongs to, its attribution score where a rule found it."""


def facts_of(
    name: str,
    index: Index,
    influence: float,
    stored: ListedGraph,
    groups: Groups,
    record: Record,
) -> Facts:
    """What is known of a feature of the graph; `stored` is the whole graph."""
    nodes = index.graph.nodes
    layer, pos, number = nodes.features[index.places[name]].tolist()
    return Facts(
        layer=layer,
        index=number,
        pos=pos,
        activation=float(nodes.activations[index.places[name]]),
        influence=influence,
        fires=_fires(stored, layer, number),
        groups=tuple(each for each, ids in groups.items() if name in ids),
        scores=tuple(
            (each, ref.score)
            for each, supernode in record.supernodes.items()
            for ref in supernode.features
            if (ref.layer, ref.index) == (layer, number) and ref.score is not None
        ),
    )


def _fires(stored: ListedGraph, layer: int, number: int) -> tuple[Firing, ...]:
    features = stored.nodes.features
    rows = ((features[:, 0] == layer) & (features[:, 2] == number)).nonzero()[0]
    found = [
        Firing(
            int(features[row, 1]),
            show_token(stored.subject.tokens[int(features[row, 1])]),
            float(stored.nodes.activations[row]),
        )
        for row in rows.tolist()
    ]
    return tuple(sorted(found, key=lambda each: -abs(each.activation)))
