from itertools import product

import numpy as np
import pytest

from tracer.evidence.resampling import (
    EXACT_SIGNS_UP_TO,
    N_FLIPS,
    attainable_sign_flip_p,
    bootstrap_interval,
    sign_flip_p,
)


def _brute_force(differences):
    total = sum(differences) - 1e-12
    signs = list(product((-1, 1), repeat=len(differences)))
    return sum(np.dot(s, differences) >= total for s in signs) / len(signs)


SEVEN = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6, -0.7]


@pytest.mark.parametrize("differences", [[1.0], [2.0, -1.0, 3.0], SEVEN])
def test_every_choice_of_signs_is_counted(differences):
    assert sign_flip_p(differences, "above") == pytest.approx(_brute_force(differences), abs=1e-12)
    below = _brute_force([-d for d in differences])
    assert sign_flip_p(differences, "below") == pytest.approx(below, abs=1e-12)


def test_differences_of_one_sign_give_the_smallest_p():
    assert sign_flip_p([0.3] * 5, "above") == 2**-5 == attainable_sign_flip_p(5)
    assert sign_flip_p([0.3] * 5, "below") == 1
    assert attainable_sign_flip_p(4) > 0.05 > attainable_sign_flip_p(5)


def test_no_difference_at_all_says_nothing():
    assert sign_flip_p([0.0] * 12, "above") == 1
    assert sign_flip_p([0.1, 0.2, -0.3], "above") == 5 / 8  # 0.1 + 0.2 − 0.3 is a tie with 0


def test_beyond_the_exact_range_signs_are_drawn_from_a_seed():
    rng = np.random.default_rng(1)
    many = rng.normal(0.3, 1, EXACT_SIGNS_UP_TO + 8).tolist()
    z = sum(many) / np.linalg.norm(many)
    normal = np.mean(np.random.default_rng(2).normal(size=200_000) >= z)
    p = sign_flip_p(many, "above")
    assert p == pytest.approx(normal, abs=0.01) and p == sign_flip_p(many, "above")
    assert sign_flip_p([1.0] * 40, "above") == 1 / (N_FLIPS + 1) == attainable_sign_flip_p(40)


def test_the_bootstrap_draws_templates_and_not_prompts():
    values, clusters = [0.0] * 10 + [1.0] * 10, ["a"] * 10 + ["b"] * 10
    assert bootstrap_interval(values, clusters, seed=0) == (0, 1)  # aa, ab, ba, bb
    low, high = bootstrap_interval(values, list(range(20)), seed=0)
    assert (low, high) == pytest.approx((0.5 - 0.22, 0.5 + 0.22), abs=0.035)


def test_uneven_clusters_weigh_by_their_prompts():
    values, clusters = [4.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"]
    rng = np.random.default_rng(7)
    means = []
    for pair in rng.integers(2, size=(500, 2)):
        drawn = [v for c in pair for v in ([4.0] if c == 0 else [0.0] * 3)]
        means.append(sum(drawn) / len(drawn))
    expected = tuple(np.quantile(means, [0.05, 0.95]))
    assert bootstrap_interval(values, clusters, seed=7, n=500, level=0.9) == pytest.approx(expected)


@pytest.mark.parametrize("n_clusters", [2, 3, 5, 8, 13])
def test_every_bit_is_that_of_drawing_each_resample_by_itself(n_clusters):
    rng = np.random.default_rng(n_clusters)
    clusters = [*range(n_clusters), *rng.integers(n_clusters, size=4).tolist()]
    values = rng.standard_normal(len(clusters)).tolist()
    sums, sizes = np.bincount(clusters, weights=values), np.bincount(clusters)
    drawn = np.random.default_rng(3).integers(n_clusters, size=(999, n_clusters))
    means = [sums[each].sum() / sizes[each].sum() for each in drawn]
    expected = np.quantile(means, [(1 - 0.95) / 2, (1 + 0.95) / 2])
    assert bootstrap_interval(values, clusters, seed=3, n=999) == tuple(expected)


def test_no_spread_gives_no_width_and_one_cluster_no_interval():
    assert bootstrap_interval([0.5] * 4, [1, 2, 3, 4], seed=3) == (0.5, 0.5)
    with pytest.raises(AssertionError):
        bootstrap_interval([0.1, 0.2], ["a", "a"], seed=0)
    with pytest.raises(AssertionError):
        sign_flip_p([0.1, float("nan")], "above")
