"""Where to cut so that the largest scores, added up, reach a share of the sum: without sorting.

A float32 that is not negative orders like its 32 bits read as a number. So one pass sums the scores
by their upper 16 bits, which tells where the cut falls up to its lower 16; a second pass counts
those. The result is the value that a full sort would find, from two passes and two small tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int

Blocks = Callable[[], Iterable[np.ndarray]]
"""Gives all scores anew each time: float32, one axis, above 0 and finite."""

_LOW = 16
_N_HIGH = 1 << (31 - _LOW)
_N_LOW = 1 << _LOW
_SMALLEST = np.finfo(np.float64).tiny


def cut(blocks: Blocks, share: float) -> float:
    """The score at which the sum, from the largest down, first reaches the share of the whole.

    Scores equal to it are to be kept. A share of 1 gives 0, which keeps every score and leaves
    rounding no say; where there is no score, infinity.
    """
    if share == 1:
        return 0.0
    sums = _sums(blocks)
    reached = np.cumsum(sums[::-1])
    wanted = max(share * reached[-1], _SMALLEST)
    if reached[-1] < wanted:
        return float("inf")
    place = int(np.searchsorted(reached, wanted))
    before = reached[place - 1] if place else 0.0
    return _within(_N_HIGH - 1 - place, wanted - before, blocks)


def _sums(blocks: Blocks) -> Float[np.ndarray, " high"]:
    sums = np.zeros(_N_HIGH)
    for scores in blocks():
        sums += np.bincount(scores.view(np.uint32) >> _LOW, weights=scores, minlength=_N_HIGH)
    return sums


def _within(high: int, wanted: float, blocks: Blocks) -> float:
    """The cut among the scores with these upper bits, of which this sum is still to be kept."""
    counts = _counts(high, blocks)
    bits = (np.arange(_N_LOW) + (high << _LOW)).astype(np.uint32)
    present = np.flatnonzero(counts)[::-1]
    values = bits[present].view(np.float32)
    reached = np.cumsum(counts[present] * values.astype(np.float64))
    # The two passes round differently, so the sum may end a hair short of what the first one found.
    place = min(int(np.searchsorted(reached, wanted)), len(values) - 1)
    return float(values[place])


def _counts(high: int, blocks: Blocks) -> Int[np.ndarray, " low"]:
    counts = np.zeros(_N_LOW, dtype=np.int64)
    for scores in blocks():
        bits = scores.view(np.uint32)
        low = bits[bits >> _LOW == high] & (_N_LOW - 1)
        counts += np.bincount(low, minlength=_N_LOW)
    return counts
