"""Strips of positions, each with the span of positions beside it that a pattern reaches.

A long prompt's attention pattern is taken in strips: outside of a strip's span it is zero (causal
mask, windows), and left out of the products.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

STRIP = 128
"""Positions at once: fewer leave out more, and make products too small to be fast."""


class Tile(NamedTuple):
    """A strip of positions, and the span beside it outside of which all is zero."""

    strip: slice
    span: slice


def extents(reached: Bool[Tensor, "pos other"]) -> list[tuple[int, int]]:
    """By position, the first of the others that it reaches, and one past the last."""
    n = reached.shape[1]
    first = reached.int().argmax(1)
    last = n - reached.flip(1).int().argmax(1)
    return [(start, stop) for start, stop in torch.stack([first, last], 1).tolist()]


def tiles(reach: list[tuple[int, int]], within: slice) -> list[Tile]:
    """Strips of the positions `within`, their spans cut to these positions too."""
    found: list[Tile] = []
    for start in range(within.start, within.stop, STRIP):
        stop = min(start + STRIP, within.stop)
        first = max(within.start, min(each for each, _ in reach[start:stop]))
        last = min(within.stop, max(each for _, each in reach[start:stop]))
        found.append(Tile(slice(start, stop), slice(first, max(first, last))))
    return found


def shifted(span: slice, by: int) -> slice:
    """Positions counted from another first one."""
    return slice(span.start - by, span.stop - by)
