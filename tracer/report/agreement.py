"""A consensus graph in words, and as a picture of what its places do to one another.

The picture has a box for every place of a span, one for all other tokens together, and one for what
is explained. An arrow is the sum of the core's edges from the features, errors and tokens of one to
the features of another, as a share of all that enters these in the core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.record.graph.agreement import Agreement, Counted, Pruning
from tracer.record.graph.consensus_summary import ConsensusSummary
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import entering
from tracer.report.supernode_diagram import (
    Group,
    GroupEffect,
    SupernodeDiagram,
    diagram,
    output_group,
    share_text,
)
from tracer.report.text import plural

_OTHERS = "other tokens"


class PlaceEffect(NamedTuple):
    """What a place does to another, or to what is explained."""

    source: str
    target: str
    share: str
    edges: str


@dataclass(frozen=True)
class AgreementView:
    """What a page says of a consensus above its graph."""

    sentences: tuple[str, ...]
    diagram: SupernodeDiagram
    effects: tuple[PlaceEffect, ...]
    """All of them, the strongest first."""


def agreement_view(
    graph: AttributionGraph, agreement: Agreement, summary: ConsensusSummary
) -> AgreementView:
    """The consensus of a page of its own."""
    groups, effects = _places(graph, agreement)
    names = {group.name: group.label for group in groups}
    rows = tuple(
        PlaceEffect(names[each.source], names[each.target], share_text(each.share), each.measured)
        for each in sorted(effects, key=lambda each: -abs(each.share))
    )
    told = tuple(sentences(summary, graph.subject.basis))
    return AgreementView(told, diagram(groups, effects, ()), rows)


def pruning_words(pruning: Pruning) -> str:
    """The shares that it kept: '0.8/0.98'."""
    return f"{pruning.nodes:g}/{pruning.edges:g}"


def sentences(summary: ConsensusSummary, basis: str) -> Iterator[str]:
    """Over how many prompts, how much is on how many of them, and where they differ in length."""
    n, what = len(summary.prompts), "neurons" if basis == "neurons" else "features"
    n_held_out = len(summary.held_out)
    split = f", {n_held_out} of them held out" if n_held_out else ""
    yield f"{n} prompts{split}: {', '.join(summary.prompts)}"
    first, *others = map(pruning_words, summary.prunings)
    beside = f"; beside it, at {' and '.join(others)}" if others else ""
    yield f"counted at the pruning {first} of the nodes' and of the edges' influence{beside}"
    yield f"{what} on {_spread(summary.feature_spread)}"
    yield f"edges on {_spread(summary.edge_spread)}"
    yield (
        f"in the core, on {summary.core:g} of the prompts or more: {summary.n_features:,} "
        f"{what}, {summary.n_edges:,} edges; of these {summary.n_first_features:,} and "
        f"{summary.n_first_edges:,} are in front of all spans, where prompts of one template have "
        "the same tokens"
    )
    if summary.uncommon:
        lacking = ", ".join(
            f"{place_words(each.place)} on {each.having}" for each in summary.uncommon[:10]
        )
        more = len(summary.uncommon) - 10
        lacking += f" and {more} more" if more > 0 else ""
        yield f"of {summary.n_places} places these are not on all {n} prompts: {lacking}"


def place_words(label: str) -> str:
    """A place of a span as it is, the text of any other token in quotes."""
    return label if label.startswith("{") else repr(label)


def _spread(counts: tuple[int, ...]) -> str:
    """How many are on all, how many on fewer, of how many on any."""
    n = len(counts)
    told = [f"exactly {k} of {n}: {counts[k - 1]:,}" for k in _shown(n)]
    return f"{'; '.join(told)} (any: {sum(counts):,})"


def _shown(n: int) -> list[int]:
    """All counts of a few prompts; of many the ends and the middle."""
    return list(range(n, 0, -1)) if n <= 6 else [n, n - 1, (n + 1) // 2, 1]


def node_facts(agreement: Agreement, number: int, *, has_sign: bool) -> list[tuple[str, str]]:
    """What is told of a node (its column, or behind the columns its logit), as (heading, text)."""
    counted, n = agreement.nodes, agreement.n_prompts
    return [
        ("On", f"{on_words(counted, number, n)} prompts{_held_out(agreement, counted, number)}"),
        *_by_pruning(agreement, counted, number),
        *([("Sign", f"that of the median on {_sign(counted, number)}")] if has_sign else []),
    ]


def edge_words(agreement: Agreement, edge: int) -> str:
    """'4 of 4 prompts', and where not all have the median's sign, how many have."""
    counted = agreement.edges
    words = f"{on_words(counted, edge, agreement.n_prompts)} prompts"
    if counted.same_sign[edge] < counted.on[edge, 0]:
        words += f", this sign on {_sign(counted, edge)}"
    return words


def on_words(counted: Counted, number: int, n_prompts: int) -> str:
    """'3 of 4'."""
    return f"{counted.on[number, 0]} of {n_prompts}"


def _sign(counted: Counted, number: int) -> str:
    return f"{counted.same_sign[number]} of {counted.on[number, 0]}"


def _held_out(agreement: Agreement, counted: Counted, number: int) -> str:
    n = len(agreement.held_out)
    return f", {counted.held_out[number]} of {n} held out" if n else ""


def _by_pruning(agreement: Agreement, counted: Counted, number: int) -> list[tuple[str, str]]:
    if len(agreement.prunings) < 2:
        return []
    pairs = zip(agreement.prunings, counted.on[number].tolist(), strict=True)
    return [("By pruning", ", ".join(f"{n} at {pruning_words(each)}" for each, n in pairs))]


def _places(graph: AttributionGraph, agreement: Agreement) -> tuple[list[Group], list[GroupEffect]]:
    """Places with edges, and what each does to the others and to what is explained."""
    boxes = list(dict.fromkeys(place.label for place in agreement.places if place.text is None))
    of_place = np.array([_box(place.label, boxes) for place in agreement.places])
    nodes = graph.nodes
    at = np.concatenate([nodes.features[:, 1], nodes.errors[:, 1], nodes.tokens])
    box_of_source = of_place[at]
    box_of_target = of_place[nodes.features[:, 1]]
    groups: list[Group] = []
    effects: list[GroupEffect] = []
    outputs = np.arange(nodes.n_features, nodes.n_targets)
    for number, label in enumerate([*boxes, _OTHERS]):
        sources = np.flatnonzero(box_of_source == number)
        if not graph.edges[:, sources].any():
            continue
        mine = np.flatnonzero(box_of_target == number)
        groups.append(_group(graph, label, mine, int(at[sources].mean())))
        names = enumerate([*boxes, _OTHERS])
        targets = [(each, np.flatnonzero(box_of_target == n)) for n, each in names]
        for target, rows in [*targets, (OUTPUT, outputs)]:
            weight, share = entering(graph, rows).of(sources)
            if target != label and share is not None and weight != 0:
                n_edges = int(np.count_nonzero(graph.edges[np.ix_(rows, sources)]))
                effects.append(GroupEffect(label, target, share, plural(n_edges, "edge")))
    explained = ", ".join(logit.label for logit in nodes.logits)
    groups.append(output_group(explained))
    return groups, effects


def _box(label: str, boxes: list[str]) -> int:
    return boxes.index(label) if label in boxes else len(boxes)


def _group(
    graph: AttributionGraph, label: str, rows: Int[np.ndarray, " row"], position: int
) -> Group:
    layers = graph.nodes.features[rows, 0]
    note = plural(len(rows), "feature")
    if len(rows):
        low, high = layers.min(), layers.max()
        note += f" · L{low}" if low == high else f" · L{low}–{high}"
    return Group(label, label, note, float(layers.mean()) if len(rows) else -1.0, position)
