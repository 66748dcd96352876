"""Intervals of a mean over few groups: by hand, by simulation, and against the signed-rank form."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from tracer.evidence.resampling import (
    EXACT_SUBSETS_UP_TO,
    FEWEST,
    N_SUBSETS,
    subset_interval,
)

SEVEN = [0.1, 0.25, 0.3, -0.4, 0.5, 0.6, -0.7]


def by_hand(values):
    """The k-th lowest and highest mean of all subsets, k = ⌊0.025 · 2ⁿ⌋."""
    n = len(values)
    means = sorted(
        statistics.mean(chosen)
        for size in range(1, n + 1)
        for chosen in itertools.combinations(values, size)
    )
    k = math.floor(0.025 * 2**n)
    return means[k - 1], means[-k]


def sign_flip_p(values, centre):
    """Share of all signs of the differences from a centre whose sum is as high as it is."""
    d = [value - centre for value in values]
    signs = np.array(list(itertools.product((-1, 1), repeat=len(d))))
    return float(np.mean(signs @ np.array(d) >= sum(d) - 1e-12))


@pytest.mark.parametrize(
    "values", [SEVEN, SEVEN[:6], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0]]
)
def test_every_subset_is_counted(values):
    assert subset_interval(values) == pytest.approx(by_hand(values))


@pytest.mark.parametrize("n", [6, 7, 9, 12])
def test_its_bounds_are_where_the_sign_flip_test_is_just_significant(n):
    """Hartigan's interval holds the centres that the paired test of both sides does not reject."""
    values = np.random.default_rng(n).normal(0.3, 1, n).tolist()
    low, high = subset_interval(values)
    k, step = math.floor(0.025 * 2**n), 1e-7
    assert sign_flip_p(values, low - step) <= k / 2**n < sign_flip_p(values, low + step)
    mirrored = [-value for value in values]
    assert sign_flip_p(mirrored, -high - step) <= k / 2**n < sign_flip_p(mirrored, -high + step)


def test_fewer_than_six_groups_have_none():
    assert FEWEST == 6 and 1 - 2 / 2**5 < 0.95 <= 1 - 2 / 2**6
    assert subset_interval(SEVEN[:5]) is None and subset_interval([]) is None
    assert subset_interval(SEVEN[:6]) == pytest.approx((min(SEVEN[:6]), max(SEVEN[:6])))


@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "laplace"])
@pytest.mark.parametrize("n", [6, 9, 20])
def test_it_holds_the_centre_as_often_as_it_says(n, draw):
    """Its level is exact for any symmetric distributions, those without a mean too."""
    rng, n_runs = np.random.default_rng([n, len(draw)]), 2000
    values = getattr(rng, draw)(size=(n_runs, n)) * np.geomspace(1, 5, n)
    if n > EXACT_SUBSETS_UP_TO:
        values = values[:300]
    n_held = 0
    for row in values.tolist():
        low, high = subset_interval(row)
        n_held += low <= 0 <= high
    level = 1 - 2 * math.floor(0.025 * 2**n) / 2**n if n <= EXACT_SUBSETS_UP_TO else 0.95
    spread = 4 * math.sqrt(level * (1 - level) / len(values))
    assert n_held / len(values) == pytest.approx(level, abs=spread)


def test_of_many_groups_subsets_are_drawn_from_a_seed():
    values = np.random.default_rng(1).normal(2, 1, 40)
    low, high = subset_interval(values.tolist(), seed=3)
    assert (low, high) == subset_interval(values.tolist(), seed=3)
    assert (low, high) != subset_interval(values.tolist(), seed=4)
    half = 1.96 * values.std(ddof=1) / math.sqrt(40)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.08)


def test_as_many_subsets_as_it_says_are_drawn_where_not_all_are_taken():
    """By another way: the same draws, mean by mean."""
    n = EXACT_SUBSETS_UP_TO + 1
    values = np.random.default_rng(2).exponential(size=n)
    drawn = np.random.default_rng(5).integers(2, size=(N_SUBSETS, n)).astype(bool)
    means = sorted(float(values[row].mean()) for row in drawn if row.any())
    k = math.floor(0.025 * (len(means) + 1))
    assert subset_interval(values.tolist(), seed=5) == pytest.approx((means[k - 1], means[-k]))


def test_no_spread_gives_no_width():
    assert subset_interval([0.5] * 7) == pytest.approx((0.5, 0.5))
