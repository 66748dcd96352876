"""Inference across prompts: an interval of their mean, and independence.

Prompts are few and not normal, so nothing here assumes more than symmetry. Prompts of one template
or text are not independent of each other: a group of them counts as one. Whether two scores of the
same prompts are independent is tested by the Hilbert-Schmidt criterion,

    HSIC = tr(K H L H) / (n − 1)²,

with Gaussian kernels exp(−d² / 2σ²), σ the median distance between different prompts, and
H = 1 − 1/n (Gretton et al. 2005). Its p counts random pairings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

LEVEL = 0.95
FEWEST = 6
"""Groups that an interval needs: of 5, the widest one holds the centre with 1 − 2 · 2⁻⁵ = 0.94."""
EXACT_SUBSETS_UP_TO = 14
"""Most groups of which every subset is taken."""
N_SUBSETS = 19_999


def subset_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the centre of independent values whose distributions are symmetric.

    The means of the 2ⁿ − 1 subsets cut the line into 2ⁿ pieces that each hold the centre with the
    same probability (Hartigan 1969), so the interval is exact for any n: from the k-th lowest mean
    to the k-th highest, k = ⌊0.025 · 2ⁿ⌋. Beyond `EXACT_SUBSETS_UP_TO` values, `N_SUBSETS` subsets
    are drawn, which keeps it exact (Hartigan's theorem 3).

    Args:
        values: One for each group of prompts, finite.
        seed: Of the draws.

    Returns:
        None for fewer than `FEWEST` values: 2ⁿ pieces are then too few for 95 %.
    """
    n = len(values)
    if n < FEWEST:
        return None
    chosen = _subsets(n, seed)
    means = np.sort(chosen @ np.asarray(values, dtype=np.float64) / chosen.sum(axis=1))
    outside = math.floor((1 - LEVEL) / 2 * (len(means) + 1))
    return float(means[outside - 1]), float(means[-outside])


@lru_cache(maxsize=4)
def _subsets(n: int, seed: int) -> Float[np.ndarray, "subset group"]:
    """Every subset of n groups that is not empty, or many of them, as rows of 0 and 1."""
    if n <= EXACT_SUBSETS_UP_TO:
        return ((np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(2, size=(N_SUBSETS, n))
    return drawn[drawn.any(axis=1)].astype(np.float64)


N_PAIRINGS = 9_999
_CELLS = 4_000_000
"""Kernel entries that are taken at once."""

Scores = Sequence[float] | Float[np.ndarray, " prompt"]


def hsic(x: Scores, y: Scores) -> float:
    """The criterion: 0 where there is no dependence, and never negative.

    Neither series is constant: a constant is independent of anything, and shows nothing.
    """
    K, L = _centred(_kernel(x)), _kernel(y)
    return float((K * L).sum()) / (len(L) - 1) ** 2


def hsic_p(x: Scores, y: Scores, seed: int) -> float:
    """(1 + random pairings with at least this much dependence) / (pairings + 1).

    `N_PAIRINGS` are drawn from the seed. A pairing that differs by rounding alone is a tie, against
    dependence.
    """
    K, L = _centred(_kernel(x)), _kernel(y)
    n = len(L)
    observed = float((K * L).sum())
    rng = np.random.default_rng(seed)
    size, n_ahead = max(1, _CELLS // n**2), 0
    for start in range(0, N_PAIRINGS, size):
        rows = min(size, N_PAIRINGS - start)
        order = rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)
        paired = np.einsum("ij,rij->r", K, L[order[:, :, None], order[:, None, :]])
        n_ahead += int(np.count_nonzero(paired >= observed - 1e-9 * abs(observed)))
    return (1 + n_ahead) / (N_PAIRINGS + 1)


def _kernel(values: Scores) -> Float[np.ndarray, "prompt prompt"]:
    array = np.asarray(values, dtype=np.float64)
    distance = np.abs(array[:, None] - array[None, :])
    apart = distance[np.triu_indices(len(array), k=1)]
    sigma = float(np.median(apart)) or float(apart.max())
    assert sigma > 0
    return np.exp(-(distance**2) / (2 * sigma**2))


def _centred(K: Float[np.ndarray, "prompt prompt"]) -> Float[np.ndarray, "prompt prompt"]:
    return K - K.mean(0) - K.mean(1)[:, None] + K.mean()
