"""Edges of other sets of the same size: what an edge between supernodes is compared with.

A control of A → B is another set of the graph's features in place of A: as many at each layer and
position, none of B. It may share some with A, as a graph has few features at a place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tracer.engine.other_sets import other_sets
from tracer.hypothesis.studies.graph import N_CONTROLS
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import Entering


def control_shares(
    graph: AttributionGraph,
    sources: Int[np.ndarray, " n"],
    targets: Int[np.ndarray, " m"],
    enters: Entering,
    seed: str,
) -> Float[np.ndarray, " control"]:
    """Shares of `N_CONTROLS` sets in place of the sources; of all others, where these are fewer.

    Args:
        graph: Nothing pruned.
        sources: Columns of A's features.
        targets: Rows of B's features, or of what is explained.
        enters: All that enters them.
        seed: Of the draw.
    """
    if enters.size == 0:
        return np.empty(0)
    sets = control_sets(graph, [sources], targets, seed)
    return np.array([enters.of(each).share for [each] in sets])


def control_sets(
    graph: AttributionGraph,
    members: Sequence[Int[np.ndarray, " n"]],
    others: Int[np.ndarray, " m"],
    seed: str,
) -> list[list[Int[np.ndarray, " n"]]]:
    """`N_CONTROLS` different draws in place of some sets; all others, where these are fewer.

    Args:
        graph: Nothing pruned.
        members: Rows of the features of each set.
        others: Further rows that no draw has.
        seed: Of the draws.
    """
    taken = np.concatenate([*members, others])
    places = [list(_pools(graph, each, taken)) for each in members]
    pools, own = zip(*(place for each in places for place in each), strict=True)
    found: list[list[Int[np.ndarray, " n"]]] = []
    for drawn in other_sets(pools, own, N_CONTROLS, seed):
        rows = iter(drawn)
        found.append([np.array(sum(islice(rows, len(each)), start=())) for each in places])
    return found


def compared(share: float, others: Float[np.ndarray, " control"]) -> dict[str, Any]:
    """What a record says of a share among those of other sets; nothing where there are none."""
    if not len(others):
        return {}
    return {
        "n_controls": len(others),
        "n_as_high": int((others >= share).sum()),
        "n_as_low": int((others <= share).sum()),
        "control_median": float(np.median(others)),
    }


def _pools(
    graph: AttributionGraph, sources: Int[np.ndarray, " n"], taken: Int[np.ndarray, " m"]
) -> Iterator[tuple[list[int], list[int]]]:
    """By layer and position, the features that may stand there, and those of the set."""
    places = graph.nodes.features[:, :2]
    usable = np.ones(len(places), dtype=bool)
    usable[taken[taken < len(places)]] = False
    usable[sources] = True
    for place in np.unique(places[sources], axis=0):
        here = (places == place).all(1)
        mine = np.intersect1d(np.flatnonzero(here), sources)
        yield np.flatnonzero(here & usable).tolist(), mine.tolist()
