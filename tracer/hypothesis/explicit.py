"""The features a supernode is given by ids: listed in the file, or in a Neuronpedia address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tracer.graph.neuronpedia import check, features_of, read_url
from tracer.hypothesis.spec import SupernodeSpec


class Fitting(NamedTuple):
    """Ids that a model can have, and what was left out of an address, a sentence each."""

    features: tuple[str, ...]
    notes: tuple[str, ...]


def explicit_features(node: SupernodeSpec) -> tuple[str, ...] | None:
    """`layer_index` or `layer_index_position`, as given; None for a supernode with a rule.

    Raises:
        UsageError: The address is none, or has no such group.
    """
    if node.neuronpedia is None:
        return node.features
    return features_of(read_url(node.neuronpedia.url), node.neuronpedia.group)


def fitting_features(node: SupernodeSpec, widths: Sequence[int]) -> Fitting:
    """The ids of a checked supernode; stale ones of an address are left out and told.

    `widths` are the numbers of features by layer. Listed ids are given back as they are.
    """
    if node.neuronpedia is None:
        return Fitting(node.features or (), ())
    link = read_url(node.neuronpedia.url)
    checked = check(link, len(widths), widths)
    kept = dict(checked.kept.supernodes)[node.neuronpedia.group]
    label = f"supernode {node.neuronpedia.group!r}"
    told = tuple(note for note in (*link.notes, *checked.notes) if note.startswith(label))
    return Fitting(kept, told)
