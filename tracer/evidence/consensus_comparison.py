"""Two consensus graphs beside each other: what both cores have, and what only one has.

Two of one model and basis (two templates, two sets of prompts) are compared by feature and place.
Features of two models, or of two bases, have nothing to do with each other: these are compared by
cells, a place and a quarter of the depth, and an edge of cells is the sum of the core's edges from
the features, errors and tokens of one to the features of the other, as a share of all that enters
these. What is explained goes by its label. Only places that both have are compared; how many
features each has elsewhere is told. In either way the places of spans are: what each does to
another.

Cores are what enough prompts have: what only one core has may be just below the share in the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from tracer.evidence.statistics import pearson
from tracer.record.files import Recorded
from tracer.record.graph.agreement import Agreement
from tracer.record.graph.alignment import TokenPlace
from tracer.record.graph.graph import AttributionGraph

N_QUARTERS = 4
N_STRONGEST = 10
OTHERS = "other tokens"
OUTPUT = "output "
"""In front of the label of what is explained."""


class ComparedConsensus(Recorded):
    """One of the two."""

    model: str
    basis: str
    prompts: tuple[str, ...]
    core: float
    n_features: int
    n_edges: int


class InCommon(Recorded):
    """How many both have."""

    both: int
    only_before: int
    only_after: int


class PlaceLink(Recorded):
    """What a place does to another, as a share of all that enters the other in the core."""

    source: str
    target: str
    before: float | None = Field(description="−1 to 1; null where the core has no such edge.")
    after: float | None


class CommonEdge(Recorded):
    """An edge that both cores have."""

    source: str
    target: str
    before: float = Field(description="Median weight; of cells, the share of what enters.")
    after: float


class EdgeAgreement(Recorded):
    """How far edges that both cores have are the same."""

    n: int
    same_sign: int
    correlation: float | None = Field(
        description="Pearson, of weights, or of shares; null of fewer than three."
    )


class ConsensusComparison(Recorded):
    """What two consensus graphs have in common."""

    schema_: Literal["tracer.consensus-comparison/1"] = Field(
        default="tracer.consensus-comparison/1", alias="schema"
    )
    before: ComparedConsensus
    after: ComparedConsensus
    by: Literal["feature and place", "place and depth"]
    places: InCommon
    nodes: InCommon = Field(description="Features, or cells with features, at places of both.")
    elsewhere: tuple[int, int] = Field(description="Features at places that the other lacks.")
    edges: InCommon = Field(description="Between nodes at places of both.")
    behind: EdgeAgreement = Field(
        description="Of the edges of both, those whose target is not in front of all spans, where "
        "one template gives the same tokens and weights."
    )
    outputs: EdgeAgreement = Field(description="Those onto what is explained.")
    links: tuple[PlaceLink, ...] = Field(description="Between places, the strongest first.")
    strongest: tuple[CommonEdge, ...] = Field(
        description="Onto what is explained, of both, by the weaker of the two."
    )


class _Names(NamedTuple):
    """What nodes are called in both graphs; None where only one of them has such a place."""

    sources: Sequence[str | None]
    """By column."""
    targets: Sequence[str | None]
    """By row."""


class _Edges(NamedTuple):
    """Edges by the names of their ends, added up where several have the same ones."""

    weights: Mapping[tuple[str, str], float]
    shares: Mapping[tuple[str, str], float]
    """Of all that enters the target, from anywhere, signs left out."""


def compare_consensus(before: AttributionGraph, after: AttributionGraph) -> ConsensusComparison:
    """Hold two consensus graphs against each other; each has an agreement."""
    graphs = before, after
    places = [_agreement(graph).places for graph in graphs]
    common = set(places[0]) & set(places[1])
    is_same = _subject(before) == _subject(after)
    found = [_names(graph, common, by_feature=is_same) for graph in graphs]
    edges = [_edges(graph, names) for graph, names in zip(graphs, found, strict=True)]
    weights = [each.weights if is_same else each.shares for each in edges]
    shared = sorted(weights[0].keys() & weights[1].keys())
    pairs = {ends: (weights[0][ends], weights[1][ends]) for ends in shared}
    behind = [pairs[ends] for ends in shared if not _is_in_front(ends[1], before)]
    outputs = {ends: pair for ends, pair in pairs.items() if ends[1].startswith(OUTPUT)}
    order = sorted(outputs, key=lambda ends: -min(map(abs, outputs[ends])))[:N_STRONGEST]
    n_features = [graph.nodes.n_features for graph in graphs]
    nodes = [
        {name for name in names.targets[:n] if name is not None}
        for names, n in zip(found, n_features, strict=True)
    ]
    return ConsensusComparison(
        before=_told(before),
        after=_told(after),
        by="feature and place" if is_same else "place and depth",
        places=_overlap(*places),
        nodes=_overlap(*nodes),
        elsewhere=(
            found[0].targets[: n_features[0]].count(None),
            found[1].targets[: n_features[1]].count(None),
        ),
        edges=_overlap(*weights),
        behind=_agree(behind),
        outputs=_agree([*outputs.values()]),
        links=_links(before, after),
        strongest=tuple(
            CommonEdge(
                source=ends[0], target=ends[1], before=outputs[ends][0], after=outputs[ends][1]
            )
            for ends in order
        ),
    )


def _agreement(graph: AttributionGraph) -> Agreement:
    assert graph.agreement is not None, "a consensus"
    return graph.agreement


def _subject(graph: AttributionGraph) -> tuple[str, str]:
    """Two of one subject have the same features."""
    return graph.subject.fingerprint or graph.subject.model, graph.subject.basis


def _told(graph: AttributionGraph) -> ComparedConsensus:
    told = _agreement(graph)
    return ComparedConsensus(
        model=graph.subject.model,
        basis=graph.subject.basis,
        prompts=told.prompts,
        core=told.core,
        n_features=graph.nodes.n_features,
        n_edges=int(np.count_nonzero(graph.edges)),
    )


def _overlap(before: Collection[object], after: Collection[object]) -> InCommon:
    one, other = set(before), set(after)
    n_both = len(one & other)
    return InCommon(both=n_both, only_before=len(one) - n_both, only_after=len(other) - n_both)


def _place_name(place: TokenPlace) -> str:
    if place.text is None:
        return place.label
    return f"{place.text!r} {place.back + 1} before {{{place.span}}}"


def _names(graph: AttributionGraph, common: set[TokenPlace], *, by_feature: bool) -> _Names:
    """By feature and place, or by place and quarter of the depth."""
    nodes, n_layers = graph.nodes, graph.subject.n_layers
    places = [_agreement(graph).places[n] for n in nodes.source_places[:, 1].tolist()]
    attention, errors = set(nodes.attention.tolist()), set(nodes.attention_errors.tolist())
    what: list[str] = []
    for row, (layer, _, index) in enumerate(nodes.features.tolist()):
        kind = "attention " if row in attention else ""
        what.append(f"{kind}{layer}_{index}" if by_feature else _quarter(layer, n_layers))
    for number, (layer, _) in enumerate(nodes.errors.tolist()):
        kind = "attention error" if number in errors else "error"
        what.append(f"{kind} {layer}" if by_feature else _quarter(layer, n_layers))
    what += ["token"] * len(nodes.tokens)
    sources = [
        f"{name} at {_place_name(place)}" if place in common else None
        for name, place in zip(what, places, strict=True)
    ]
    return _Names(sources, [*sources[: nodes.n_features], *_outputs(graph)])


def _quarter(layer: int, n_layers: int) -> str:
    return f"quarter {N_QUARTERS * layer // n_layers + 1}"


def _outputs(graph: AttributionGraph) -> list[str]:
    return [f"{OUTPUT}{logit.label}" for logit in graph.nodes.logits]


def _edges(graph: AttributionGraph, names: _Names) -> _Edges:
    weights: dict[tuple[str, str], float] = {}
    entering: dict[str, float] = {}
    rows, columns = np.nonzero(graph.edges)
    found = zip(rows.tolist(), columns.tolist(), graph.edges[rows, columns].tolist(), strict=True)
    for row, column, weight in found:
        source, target = names.sources[column], names.targets[row]
        if target is None:
            continue
        entering[target] = entering.get(target, 0.0) + abs(weight)
        if source is not None:
            weights[source, target] = weights.get((source, target), 0.0) + weight
    shares = {ends: weight / entering[ends[1]] for ends, weight in weights.items()}
    return _Edges(weights, shares)


def _is_in_front(target: str, graph: AttributionGraph) -> bool:
    """Whether a node that was named by `_names` is in front of all spans."""
    first = next(place.span for place in _agreement(graph).places if place.text is None)
    return target.endswith(f" before {{{first}}}")


def _agree(pairs: Sequence[tuple[float, float]]) -> EdgeAgreement:
    same_sign = sum(a * b > 0 for a, b in pairs)
    correlation = pearson([a for a, _ in pairs], [b for _, b in pairs])
    return EdgeAgreement(n=len(pairs), same_sign=same_sign, correlation=correlation)


def _links(before: AttributionGraph, after: AttributionGraph) -> tuple[PlaceLink, ...]:
    """Places of spans one by one, all other tokens together."""
    one, other = (_edges(graph, _by_place(graph)).shares for graph in (before, after))
    found = [
        PlaceLink(source=ends[0], target=ends[1], before=one.get(ends), after=other.get(ends))
        for ends in sorted({*one, *other})
    ]
    strength = {each: max(abs(each.before or 0.0), abs(each.after or 0.0)) for each in found}
    return tuple(sorted(found, key=lambda each: -strength[each]))


def _by_place(graph: AttributionGraph) -> _Names:
    told = _agreement(graph).places
    places = [told[n] for n in graph.nodes.source_places[:, 1].tolist()]
    sources = [place.label if place.text is None else OTHERS for place in places]
    return _Names(sources, [*sources[: graph.nodes.n_features], *_outputs(graph)])
