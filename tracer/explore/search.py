"""Nodes by what a person types: a token, a layer, a feature's number, a supernode, an id."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.explore.index import Index

MOST = 200
"""Found nodes given back."""


def search(index: Index, groups: Mapping[str, tuple[str, ...]], text: str) -> tuple[str, ...]:
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
    found: list[str] = []
    for each in index.ids:
        node = index.node(each)
        told = " ".join([each, node.label, node.kind, *homes.get(each, ())]).casefold()
        if all(word in told for word in words):
            found.append(each)
            if len(found) == MOST:
                break
    return tuple(found)
