"""Groups of a graph's features: their names, their scores, and the direct effects between them.

The scores (`tracer.record.graph.influence`) count every feature outside the groups as an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from tracer.dashboard.explore.nodes import GraphIndex
from tracer.hypothesis.declared import is_name
from tracer.hypothesis.neuronpedia_ids import feature_id
from tracer.record.graph.influence import Scores, entering, supernode_scores
from tracer.record.record import Record
from tracer.report.run_graphs import supernode_groups

Groups = Mapping[str, tuple[str, ...]]
"""Ids of features by the supernode's name."""


class GroupLink(NamedTuple):
    """All direct effects of one group on another, or on what the graph explains."""

    source: str
    target: str
    """A group, or the label of a logit."""
    weight: float
    share: float | None
    """Of everything that enters the target; None where nothing does."""


def declared(record: Record, prompt: str, index: GraphIndex) -> dict[str, tuple[str, ...]]:
    """The run's supernodes on one prompt: members that are in the graph; none, no group."""
    found = {
        group["name"]: index.known(feature_id(layer, n, pos) for layer, pos, n in group["places"])
        for group in supernode_groups(record, prompt)
    }
    return {name: ids for name, ids in found.items() if ids}


def misnamed(name: str, taken: Collection[str]) -> str | None:
    """Why a new supernode cannot have a name, as a sentence."""
    if not is_name(name):
        return (
            f"{name!r} is no name: letters, digits, '_' and '-' are allowed, at most 64 of them, "
            "a letter or '_' first."
        )
    if name in taken:
        return f"There is a supernode {name!r} already; add to it, or give another name."
    return None


def with_group(
    groups: Groups, name: str, ids: Sequence[str], index: GraphIndex
) -> dict[str, tuple[str, ...]]:
    """The groups, one of them made or added to; what is no feature of the graph is left out."""
    features = [each for each in ids if index.is_feature(each)]
    joined = tuple(dict.fromkeys((*groups.get(name, ()), *features)))
    return {**groups, name: joined} if joined else dict(groups)


def without_group(groups: Groups, name: str) -> dict[str, tuple[str, ...]]:
    """The groups, one of them taken apart."""
    return {each: ids for each, ids in groups.items() if each != name}


def group_scores(index: GraphIndex, groups: Groups) -> Scores:
    """Replacement and completeness if only the grouped features were understood."""
    kept = np.zeros(index.graph.nodes.n_features, dtype=bool)
    for ids in groups.values():
        kept[_rows(index, ids)] = True
    return supernode_scores(index.graph, kept)


def group_links(index: GraphIndex, groups: Groups) -> tuple[GroupLink, ...]:
    """Between every two groups, and from each to every output, the strongest shares first."""
    rows = {name: _rows(index, ids) for name, ids in groups.items()}
    n_features = index.graph.nodes.n_features
    logits = enumerate(index.graph.nodes.logits, n_features)
    outputs = [(logit.label, np.array([row])) for row, logit in logits]
    targets = [(*end, entering(index.graph, end[1])) for end in (*rows.items(), *outputs)]
    found = [
        GroupLink(source, target, *enters.of(rows[source]))
        for source in rows
        for target, ends, enters in targets
        if ends is not rows[source] and len(rows[source]) and len(ends)
    ]
    there = [link for link in found if link.weight != 0]
    return tuple(sorted(there, key=lambda link: -abs(link.share or 0.0)))


def _rows(index: GraphIndex, ids: Iterable[str]) -> Int[np.ndarray, " n"]:
    features = [index.places[each] for each in ids if index.is_feature(each)]
    return np.array(features, dtype=np.int64)
