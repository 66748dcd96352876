"""Edges of other sets of the same size: what an edge between supernodes is compared with.

A control of A → B is a random set of the graph's features in place of A: as many at each layer and
position, none of A or B.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tracer.hypothesis.studies.graph import N_CONTROLS
from tracer.record.graph.graph import AttributionGraph
from tracer.record.graph.influence import Entering


def control_shares(
    graph: AttributionGraph,
    sources: Int[np.ndarray, " n"],
    targets: Int[np.ndarray, " m"],
    enters: Entering,
    seed: int,
) -> Float[np.ndarray, " control"]:
    """Shares of `N_CONTROLS` sets in place of the sources; none where a place has too few others.

    Args:
        graph: Nothing pruned.
        sources: Columns of A's features.
        targets: Rows of B's features, or of what is explained.
        enters: All that enters them.
        seed: Of the draw.
    """
    if enters.size == 0:
        return np.empty(0)
    sets = control_sets(graph, sources, targets, np.random.default_rng(seed))
    return np.array([enters.of(each).share for each in sets])


def control_sets(
    graph: AttributionGraph,
    members: Int[np.ndarray, " n"],
    others: Int[np.ndarray, " m"],
    draw: np.random.Generator,
) -> list[Int[np.ndarray, " n"]]:
    """`N_CONTROLS` sets in place of some features; none where a place has too few others.

    Args:
        graph: Nothing pruned.
        members: Rows of the features.
        others: Further rows that no set has.
        draw: What draws them.
    """
    pools = list(_pools(graph, members, others))
    if any(len(pool) < n for pool, n in pools):
        return []
    return [
        np.concatenate([draw.choice(pool, n, replace=False) for pool, n in pools])
        for _ in range(N_CONTROLS)
    ]


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
    graph: AttributionGraph, sources: Int[np.ndarray, " n"], targets: Int[np.ndarray, " m"]
) -> Iterator[tuple[Int[np.ndarray, " other"], int]]:
    """By layer and position, the other features there, and how many are drawn."""
    places = graph.nodes.features[:, :2]
    taken = np.zeros(len(places), dtype=bool)
    taken[sources] = True
    taken[targets[targets < len(places)]] = True
    for place, n in Counter(map(tuple, places[sources].tolist())).items():
        here = (places == place).all(1)
        yield np.flatnonzero(here & ~taken), n
