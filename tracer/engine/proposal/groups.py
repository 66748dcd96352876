"""Groups of features that act alike over prompts, from the prompts' attribution graphs.

Two features at the last token of one span act alike where both of these agree over all prompts:
their activations, and what they send out directly: the edge to the answer's logit, and the sum of
the edges to the features at each other place. The similarity is the mean of the two cosines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.engine.proposal.linkage import average_linkage
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import influence

MOST_CLUSTERED = 512
"""Features at one place, the most influential: all pairs of them are compared."""
CUT = 0.5
"""Distance, 1 − similarity, that groups are at least apart."""
LEAST_TOLD_APART = 0.5
"""Share of a group's variance that is between a concept and the others, for it to be the
concept's."""


class PlacedGraph(NamedTuple):
    """The graph of one prompt, and where its spans end."""

    graph: AttributionGraph
    """Nothing pruned; it explains the answer alone."""
    at: Mapping[str, int]
    """Position of the last token of each span."""


class Profiles(NamedTuple):
    """The features at the last token of one span, over all prompts."""

    features: Int[np.ndarray, "n 2"]
    """(layer, index), sorted."""
    activations: Float[np.ndarray, "n prompt"]
    """0 on a prompt whose graph does not keep the feature: there it is of no relevance."""
    sent: Float[np.ndarray, "n prompt target"]
    """Direct edges: to the logit, then the sum to the features at each span's last token."""
    influence: Float[np.ndarray, " n"]
    """Share of the influence of all features of all graphs."""


class Alike(NamedTuple):
    """One group at a place."""

    members: Int[np.ndarray, " m"]
    """Rows of the profiles, the most influential first."""
    concept: str | None
    told_apart: float


def profiles(graphs: Sequence[PlacedGraph], span: str) -> Profiles:
    """How the features at a span's last token act on each prompt, and what they send out."""
    places = list(graphs[0].at)
    found: dict[tuple[int, int], int] = {}
    here: list[tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]] = []
    for graph, at in graphs:
        nodes = graph.nodes
        columns = np.flatnonzero(nodes.features[:, 1] == at[span])
        ids = [(layer, index) for layer, _, index in nodes.features[columns].tolist()]
        here.append((columns, np.array([found.setdefault(i, len(found)) for i in ids], int)))
    activations = np.zeros((len(found), len(graphs)))
    sent = np.zeros((len(found), len(graphs), 1 + len(places)))
    shares, whole = np.zeros(len(found)), 0.0
    for prompt, ((graph, at), (columns, rows)) in enumerate(zip(graphs, here, strict=True)):
        nodes, of_features = graph.nodes, influence(graph).features
        activations[rows, prompt] = nodes.activations[columns]
        sent[rows, prompt, 0] = graph.edges[nodes.logit_rows][:, columns].sum(0)
        for number, place in enumerate(places, 1):
            targets = np.flatnonzero(nodes.features[:, 1] == at[place])
            sent[rows, prompt, number] = graph.edges[np.ix_(targets, columns)].sum(0)
        shares[rows] += of_features[columns]
        whole += float(of_features.sum())
    order = sorted(range(len(found)), key=list(found).__getitem__)
    ids = np.array(list(found), int).reshape(-1, 2)
    return Profiles(ids[order], activations[order], sent[order], shares[order] / max(whole, 1e-30))


def alike(found: Profiles, concepts: Sequence[str]) -> list[Alike]:
    """The groups of a place, the most influential first.

    Args:
        found: Its features.
        concepts: That of each prompt.
    """
    rows = np.sort(np.argsort(-found.influence, kind="stable")[:MOST_CLUSTERED])
    if not len(rows):
        return []
    activations, sent = found.activations[rows], found.sent[rows].reshape(len(rows), -1)
    similarity = (_cosines(activations) + _cosines(sent)) / 2
    groups: list[Alike] = []
    for cluster in average_linkage(1 - similarity, CUT):
        members = rows[cluster]
        members = members[np.argsort(-found.influence[members], kind="stable")]
        concept, share = told_apart(_unit(found.activations[members]).mean(0), concepts)
        groups.append(Alike(members, concept if share >= LEAST_TOLD_APART else None, share))
    return sorted(groups, key=lambda group: -float(found.influence[group.members].sum()))


def told_apart(profile: Float[np.ndarray, " prompt"], concepts: Sequence[str]) -> tuple[str, float]:
    """The concept that a profile tells from all others best, and how well.

    R² of the profile on "is this concept's": the share of its variance that is between the two.
    """
    total = float(((profile - profile.mean()) ** 2).sum())
    best = (concepts[0], 0.0)
    for concept in dict.fromkeys(concepts):
        is_own = np.array([each == concept for each in concepts])
        if total <= 1e-12 or is_own.all():
            continue
        means = np.where(is_own, profile[is_own].mean(), profile[~is_own].mean())
        share = float(((means - profile.mean()) ** 2).sum()) / total
        best = max(best, (concept, share), key=lambda each: each[1])
    return best


def _unit(rows: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


def _cosines(rows: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n n"]:
    unit = _unit(rows)
    return unit @ unit.T
