"""Passes over the edge matrix in blocks small enough for the processor's cache.

A target reads only sources of lower layers. So the blocks come from the top, and when one comes,
everything above it has been seen: one pass does what powers of the matrix would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tracer.graph.nodes import Nodes

CELLS = 2**19
"""Cells of a block: 2 MB as float32."""


class Block(NamedTuple):
    """Some targets of one layer, or some logits, and the features they may read.

    Errors and tokens (all columns from `nodes.n_features` on) go with every block.
    """

    rows: slice
    below: slice
    """Columns of the features of lower layers."""


def rows_of(rows: slice, n_columns: int) -> Iterator[slice]:
    """The rows in order, as many at a time as a block holds of that width."""
    step = max(1, CELLS // max(1, n_columns))
    for first in range(rows.start, rows.stop, step):
        yield slice(first, min(first + step, rows.stop))


def from_the_top(nodes: Nodes) -> Iterator[Block]:
    """All targets: the logits first, then the features, the highest layer first."""
    for rows in rows_of(nodes.logit_rows, nodes.n_sources):
        yield Block(rows, slice(0, nodes.n_features))
    for layer in np.unique(nodes.features[:, 0])[::-1]:
        at = nodes.layer_slice(int(layer))
        n_far = nodes.n_sources - nodes.n_features
        for rows in rows_of(at, at.start + n_far):
            yield Block(rows, slice(0, at.start))
