"""Whether two scores of the same prompts are independent: the Hilbert-Schmidt criterion (HSIC).

HSIC = tr(K H L H) / (n − 1)², with Gaussian kernels exp(−d² / 2σ²), σ the median distance between
different prompts, and H = 1 − 1/n (Gretton et al. 2005). Its p counts random pairings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

N_PAIRINGS = 9_999
FEWEST = 20
"""Prompts below which independence is not judged: on 20, a correlation of 0.7 is found in 85 % of
cases at p ≤ 0.05 (Gaussian scores, simulated); on 10, in 50 %."""
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
