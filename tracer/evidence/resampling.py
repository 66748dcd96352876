"""Inference across prompts: the sign-flip test, intervals from resampled templates, independence.

Prompts are few and not normal, so nothing here assumes a distribution. The paired sign-flip test
asks only that a difference is as likely to come out with either sign when there is no effect
(Fisher 1935, §21). The bootstrap draws whole clusters, because prompts of one template are not
independent of each other (Davison & Hinkley 1997, §3.8). Whether two scores of the same prompts are
independent is tested by the Hilbert-Schmidt criterion,

    HSIC = tr(K H L H) / (n − 1)²,

with Gaussian kernels exp(−d² / 2σ²), σ the median distance between different prompts, and
H = 1 − 1/n (Gretton et al. 2005). Its p counts random pairings.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.evidence.statistics import Side

EXACT_SIGNS_UP_TO = 32
"""Most differences of which every choice of signs is counted: two halves of 2^16 sums each."""
N_FLIPS = 19_999
"""Random choices of signs for more differences than that."""
N_RESAMPLES = 9_999


def sign_flip_p(differences: Sequence[float], side: Side, seed: int = 0) -> float:
    """How often the sum would be as far to a side if every difference could have either sign.

    Every choice of signs is counted up to `EXACT_SIGNS_UP_TO` differences; beyond it `N_FLIPS` are
    drawn from the seed, and the observed one is counted with them. A sum that differs by rounding
    alone is a tie, against the hypothesis.

    Args:
        differences: one paired difference per prompt, finite, at least one.
        side: `above` asks whether the differences are unusually high.
        seed: of the draws, where not every choice is counted.
    """
    given = np.asarray(differences, dtype=np.float64)
    assert given.size and bool(np.isfinite(given).all())
    d = given if side == "above" else -given
    least = d.sum() - 1e-9 * np.abs(d).sum()
    if len(d) > EXACT_SIGNS_UP_TO:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(N_FLIPS, len(d)))
        return (1 + int(np.count_nonzero(signs @ d >= least))) / (N_FLIPS + 1)
    one, other = _signed_sums(d[: len(d) // 2]), np.sort(_signed_sums(d[len(d) // 2 :]))
    n_below = int(np.searchsorted(other, least - one).sum())
    return 1 - n_below / 2 ** len(d)


def attainable_sign_flip_p(n: int) -> float:
    """The smallest p of `sign_flip_p` on n differences, none of them 0: 2⁻ⁿ while all are counted.

    5 prompts are the fewest that can reach 0.05, 7 the fewest for 0.01.
    """
    return 2.0**-n if n <= EXACT_SIGNS_UP_TO else 1 / (N_FLIPS + 1)


def bootstrap_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    seed: int,
    n: int = N_RESAMPLES,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, drawing whole clusters with replacement.

    Args:
        values: one per prompt, finite.
        clusters: which template each comes from; at least two different ones, since a single
            cluster says nothing about how clusters differ.
        seed: of the draws.
        n: resamples.
        level: probability between the bounds.
    """
    array = np.asarray(values, dtype=np.float64)
    order = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    number = np.array([order[cluster] for cluster in clusters])
    assert bool(np.isfinite(array).all()) and len(array) == len(number)
    sums, sizes = np.bincount(number, weights=array), np.bincount(number)
    assert len(sums) > 1
    return _interval(tuple(sums.tolist()), tuple(sizes.tolist()), seed, n, level)


@lru_cache(maxsize=1_000)
def _interval(
    sums: tuple[float, ...], sizes: tuple[int, ...], seed: int, n: int, level: float
) -> tuple[float, float]:
    """The interval from each cluster's sum and size: many thresholds are asked of one number."""
    draws = _draws(seed, len(sums), n)
    drawn_sums, drawn_sizes = (np.array(each)[draws.clusters] for each in (sums, sizes))
    means = drawn_sums.sum(axis=1) / drawn_sizes.sum(axis=1)
    low, high = _quantiles(means, draws.times, np.array([(1 - level) / 2, (1 + level) / 2]))
    return float(low), float(high)


class _Draws(NamedTuple):
    """What was drawn, each different draw once: of few clusters there are few."""

    clusters: Int[np.ndarray, "draw cluster"]
    times: Int[np.ndarray, " draw"]
    """How often each came up."""


@lru_cache(maxsize=2)
def _draws(seed: int, n_clusters: int, n: int) -> _Draws:
    """The same for every number of a run, so it is drawn once for each of its two splits."""
    drawn = np.random.default_rng(seed).integers(n_clusters, size=(n, n_clusters))
    return _Draws(*np.unique(drawn, axis=0, return_counts=True))


def _quantiles(
    values: Float[np.ndarray, " draw"],
    times: Int[np.ndarray, " draw"],
    levels: Float[np.ndarray, " level"],
) -> Float[np.ndarray, " level"]:
    """Quantiles of values that stand for several each; linear between the nearest two."""
    order = np.argsort(values)
    reached = times[order].cumsum()
    at = (reached[-1] - 1) * levels
    before = np.floor(at)
    low = values[order[np.searchsorted(reached, before, side="right")]]
    high = values[order[np.searchsorted(reached, before + 1, side="right")]]
    step, share = high - low, at - before
    # From the nearer end, as numpy.quantile does, whose every bit this gives.
    return np.where(share >= 0.5, high - step * (1 - share), low + step * share)


def _signed_sums(d: Float[np.ndarray, " prompt"]) -> Float[np.ndarray, " choice"]:
    """Sum under each of the 2ⁿ choices of signs."""
    sums = np.zeros(1)
    for value in d:
        sums = np.concatenate([sums - value, sums + value])
    return sums


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
