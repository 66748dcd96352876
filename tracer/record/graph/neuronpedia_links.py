"""From the links of a graph JSON to the edge matrix.

Older files give the error of layer 5 at position 2 the name that feature 5 of layer 0 has there,
`0_5_2`. Where a file has both, a link from that name may be either's. Writers list a target's
sources in the order of our columns, so the link's neighbours mostly decide; so does the target's
layer, as an error reaches later layers only. Where neither decides, the file is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.errors import UsageError, show
from tracer.record.graph.graph import Nodes
from tracer.record.graph.neuronpedia_format import LinkEntry

_AMBIGUOUS = -1


class AmbiguousColumns(NamedTuple):
    """Columns of a feature and an error that have one name."""

    feature: int
    error: int


class NameIndex(NamedTuple):
    """Where each name of a file stands in the edge matrix."""

    rows: dict[str, int]
    columns: dict[str, int]
    """Not of names in `ambiguous`."""
    ambiguous: dict[str, AmbiguousColumns]


class _Ends(NamedTuple):
    rows: Int[np.ndarray, " link"]
    columns: Int[np.ndarray, " link"]


def edge_matrix(
    links: Sequence[LinkEntry], nodes: Nodes, names: NameIndex
) -> Float[np.ndarray, "target source"]:
    """Weights by target and source, float32.

    Raises:
        UsageError: a link names no node, ends where nothing can end, goes backwards or is there
            twice, or a name may mean two nodes.
    """
    ends = _ends(links, names)
    if names.ambiguous:
        ends = _resolve_ambiguous(links, ends, nodes, names.ambiguous)
    _check_forward(links, ends, nodes)
    _check_once(links, ends, nodes.n_sources)
    edges = np.zeros((nodes.n_targets, nodes.n_sources), dtype=np.float32)
    edges[ends.rows, ends.columns] = [link.weight for link in links]
    return edges


def _ends(links: Sequence[LinkEntry], names: NameIndex) -> _Ends:
    rows = np.empty(len(links), dtype=np.int64)
    columns = np.empty(len(links), dtype=np.int64)
    for n, link in enumerate(links):
        row, column = names.rows.get(link.target), names.columns.get(link.source)
        if row is None:
            raise UsageError(_no_end(n, link.target, link.target in names.columns, "receives"))
        if column is None and link.source not in names.ambiguous:
            raise UsageError(_no_end(n, link.source, link.source in names.rows, "sends"))
        rows[n], columns[n] = row, _AMBIGUOUS if column is None else column
    return _Ends(rows, columns)


def _no_end(number: int, name: str, is_there: bool, does: str) -> str:
    if is_there:
        return f"links[{number}]: the node {show(name)} {does} no links."
    return f"links[{number}]: there is no node {show(name)}."


def _resolve_ambiguous(
    links: Sequence[LinkEntry], ends: _Ends, nodes: Nodes, ambiguous: dict[str, AmbiguousColumns]
) -> _Ends:
    """The same ends, each link from a name of two nodes given to one of them."""
    columns = ends.columns.copy()
    target_depths, source_depths = nodes.target_places[:, 0], nodes.source_places[:, 0]
    by_row = np.argsort(ends.rows, kind="stable")
    for block in np.split(by_row, np.flatnonzero(np.diff(ends.rows[by_row])) + 1):
        ambiguous_links = list(_ambiguous_links(block, ends.columns))
        left = Counter(links[n].source for n, _, _ in ambiguous_links)
        doubled = {name for name, count in left.items() if count > 1}
        for n, before, after in ambiguous_links:
            name = links[n].source
            pair = ambiguous[name]
            left[name] -= 1
            if name in doubled:
                columns[n] = pair.feature if left[name] else pair.error
            elif target_depths[ends.rows[n]] <= source_depths[pair.error]:
                columns[n] = pair.feature
            else:
                columns[n] = _between(pair, before, after, links[n])
    return _Ends(ends.rows, columns)


def _between(pair: AmbiguousColumns, before: int, after: int, link: LinkEntry) -> int:
    """Which of the two stands between the columns of the link's neighbours."""
    allowed = [column for column in pair if before < column < after]
    if len(allowed) != 1:
        raise UsageError(
            f"the link {show(link.source)} → {show(link.target)} may be a feature's or an error's: "
            "both have that id, as in older files. Generate the graph again."
        )
    return allowed[0]


def _ambiguous_links(
    block: Int[np.ndarray, " n"], columns: Int[np.ndarray, " link"]
) -> Iterator[tuple[int, int, int]]:
    """Links of one target with an ambiguous source, each with the columns it stands between."""
    known = columns[block]
    is_known = known != _AMBIGUOUS
    if is_known.all():
        return
    if (np.diff(known[is_known]) <= 0).any():
        before, after = np.full(len(block), -1), np.full(len(block), np.iinfo(np.int64).max)
    else:
        before = np.maximum.accumulate(np.where(is_known, known, -1))
        upward = np.where(is_known, known, np.iinfo(np.int64).max)
        after = np.minimum.accumulate(upward[::-1])[::-1]
    for place in np.flatnonzero(~is_known).tolist():
        yield int(block[place]), int(before[place]), int(after[place])


def _check_forward(links: Sequence[LinkEntry], ends: _Ends, nodes: Nodes) -> None:
    """Effects go to later layers, and never to earlier positions; else influence has no end."""
    source, target = nodes.source_places[ends.columns], nodes.target_places[ends.rows]
    backward = (source[:, 0] >= target[:, 0]) | (source[:, 1] > target[:, 1])
    if backward.any():
        link = links[int(backward.argmax())]
        raise UsageError(
            f"the link {show(link.source)} → {show(link.target)} does not go to a later layer at "
            "the same or a later position, as every effect does."
        )


def _check_once(links: Sequence[LinkEntry], ends: _Ends, n_sources: int) -> None:
    _, first = np.unique(ends.rows * n_sources + ends.columns, return_index=True)
    if len(first) < len(links):
        again = np.ones(len(links), dtype=bool)
        again[first] = False
        link = links[int(again.argmax())]
        raise UsageError(f"the link {show(link.source)} → {show(link.target)} is there twice.")
