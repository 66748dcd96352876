"""The few numbers that turn measurements into evidence, each with the p it could reach at best.

All tests are one-sided. A Monte-Carlo p counts the observed value among its draws (the +1), so it
is never 0; a test that could not reach the asked p says so before it is made.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

Z_95 = 1.959963984540054
"""Standard normal quantile of 0.975."""
EXACT_UP_TO = 8
"""Longest series of which every permutation is counted (8! = 40,320)."""
N_SHUFFLES = 19_999
"""Random permutations of a longer series."""

FEWEST_PAIRS = 3
"""Two always lie on a line."""

Side = Literal["above", "below"]


class Correlation(NamedTuple):
    """Spearman's ρ and its one-sided permutation p."""

    rho: float
    p: float


def wilson(n_held: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson 1927); `n` is at least 1."""
    share = n_held / n
    scale = 1 + Z_95**2 / n
    centre = (share + Z_95**2 / (2 * n)) / scale
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2)) / scale
    low = 0.0 if n_held == 0 else centre - half
    high = 1.0 if n_held == n else centre + half
    return low, high


def monte_carlo_p(
    observed: float, controls: Float[np.ndarray, " control"], side: Side, tolerance: float = 0.0
) -> float:
    """(1 + controls at least as extreme) / (controls + 1); Davison & Hinkley 1997, eq. 4.11.

    Args:
        observed: the clamp's own value; not NaN, and neither is a control.
        controls: the same measure under matched random clamps.
        side: `above` asks whether the observed value is unusually high.
        tolerance: a control this near counts as a tie, against the hypothesis.
    """
    ahead = controls - observed if side == "above" else observed - controls
    return (1 + int(np.count_nonzero(ahead >= -tolerance))) / (len(controls) + 1)


def beyond_p(
    observed: float,
    clean: float,
    controls: Float[np.ndarray, " control"],
    side: Side,
    alpha: float,
    tolerance: float = 0.0,
) -> float:
    """`monte_carlo_p`, where the unclamped value would not do as well; else that of the change.

    Random clamps often move an output one way, so that doing nothing is beyond all of them. Then
    the change must be larger than theirs are in either direction:
    (1 + #{j: |controlⱼ − clean| ≥ observed − clean}) / (controls + 1), for which doing nothing has
    p = 1.
    """
    p = monte_carlo_p(observed, controls, side, tolerance)
    if p > alpha or monte_carlo_p(clean, controls, side, tolerance) > alpha:
        return p
    change = observed - clean if side == "above" else clean - observed
    return monte_carlo_p(change, np.abs(controls - clean), "above", tolerance)


def sum_p(
    clamped: Sequence[float] | Float[np.ndarray, " prompt"],
    clean: Sequence[float] | Float[np.ndarray, " prompt"],
    controls: Sequence[Float[np.ndarray, " control"]],
    side: Side,
    alpha: float,
    tolerance: float = 0.0,
) -> float:
    """`beyond_p` of a sum over prompts, by the sums of each control over the same prompts.

    Every number counts as its difference from the median of its prompt's controls.

    Args:
        clamped: one value for each prompt.
        clean: the same, unclamped.
        controls: for each prompt; control j is the same set of features on all of them.
        side: see `monte_carlo_p`.
        alpha: see `beyond_p`.
        tolerance: of the sum.
    """
    n = min(map(len, controls))
    medians = [float(np.median(each)) for each in controls]
    observed, before = (
        math.fsum(value - median for value, median in zip(values, medians, strict=True))
        for values in (clamped, clean)
    )
    sums = np.sum([each[:n] - m for each, m in zip(controls, medians, strict=True)], axis=0)
    return beyond_p(observed, before, sums, side, alpha, tolerance)


def controls_needed(alpha: float) -> int:
    """The fewest controls with which a Monte-Carlo p can be at most alpha."""
    n = max(math.ceil(1 / alpha) - 2, 0)
    while 1 / (n + 1) > alpha:
        n += 1
    return n


def ranks(values: Sequence[float]) -> Float[np.ndarray, " dose"]:
    """Ranks from 1, ties sharing their mean rank."""
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, None] > array[None, :]).sum(axis=1)
    equal = (array[:, None] == array[None, :]).sum(axis=1)
    return below + (equal + 1) / 2


def pearson(
    x: Sequence[float] | Float[np.ndarray, " n"], y: Sequence[float] | Float[np.ndarray, " n"]
) -> float | None:
    """Pearson's correlation; None of fewer than three pairs, or where one of both is constant."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < FEWEST_PAIRS or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation of the ranks; 0 where one of the series is constant."""
    a, b = ranks(x), ranks(y)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else 0.0


def spearman_test(x: Sequence[float], y: Sequence[float], side: Side, seed: int = 0) -> Correlation:
    """ρ, and how often a random order of y gives one at least as high (`above`) or low (`below`).

    Every order is counted up to `EXACT_UP_TO` points; beyond it `N_SHUFFLES` are drawn from the
    seed, and the observed order is counted with them.
    """
    # Twice the ranks are whole numbers, so that equal correlations compare as equal.
    a = np.rint(2 * ranks(x)).astype(np.int64)
    b = np.rint(2 * ranks(y)).astype(np.int64)
    b = b if side == "above" else -b
    observed = int(a @ b)
    if len(a) <= EXACT_UP_TO:
        p = float(np.mean(b[_orders(len(a))] @ a >= observed))
    else:
        p = (1 + int(np.count_nonzero(_shuffled(a, b, seed) >= observed))) / (N_SHUFFLES + 1)
    return Correlation(spearman(x, y), p)


def attainable_spearman_p(x: Sequence[float]) -> float:
    """The smallest p that `spearman_test` can give on these x: 1/k! for k different values."""
    ties = math.prod(math.factorial(n) for n in Counter(x).values())
    exact = ties / math.factorial(len(x))
    return exact if len(x) <= EXACT_UP_TO else max(exact, 1 / (N_SHUFFLES + 1))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Each p corrected for all of them having been looked at (Holm 1979), in the given order."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def benjamini_yekutieli(ps: Sequence[float]) -> tuple[float, ...]:
    """Each p adjusted for a false discovery rate (Benjamini & Yekutieli 2001), in the given order.

    Those at most α are discoveries of which a share of α at most is false in expectation, however
    the tests depend on each other: q(i) = min over j ≥ i of m c(m) p(j) / j, at most 1.
    """
    adjusted = [0.0] * len(ps)
    scale, lowest = len(ps) * yekutieli_factor(len(ps)), 1.0
    ascending = sorted(range(len(ps)), key=lambda i: ps[i])
    for place, index in reversed(list(enumerate(ascending, 1))):
        lowest = min(lowest, scale * ps[index] / place)
        adjusted[index] = lowest
    return tuple(adjusted)


def yekutieli_factor(n: int) -> float:
    """c(m) = 1 + 1/2 + … + 1/m, what not knowing the dependence between m tests costs."""
    return math.fsum(1 / k for k in range(1, n + 1))


@cache
def _orders(n: int) -> Int[np.ndarray, "order dose"]:
    return np.array(list(permutations(range(n))), dtype=np.int64)


def _shuffled(
    a: Int[np.ndarray, " dose"], b: Int[np.ndarray, " dose"], seed: int
) -> Int[np.ndarray, " order"]:
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(b, (N_SHUFFLES, 1)), axis=1) @ a
