from itertools import permutations

import numpy as np
import pytest

from tracer.evidence.resampling import N_PAIRINGS, hsic, hsic_p


def by_definition(x, y):
    n = len(x)
    H = np.eye(n) - 1 / n

    def kernel(values):
        distance = np.abs(np.subtract.outer(values, values))
        sigma = np.median([distance[i, j] for i in range(n) for j in range(i)])
        return np.exp(-(distance**2) / (2 * sigma**2))

    return np.trace(kernel(x) @ H @ kernel(y) @ H) / (n - 1) ** 2


def test_the_criterion_is_the_trace():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=7), rng.normal(size=7)
    assert hsic(x, y) == pytest.approx(by_definition(x, y))
    assert hsic(x, x) == pytest.approx(by_definition(x, x))


def test_p_is_the_share_of_pairings_and_never_0():
    x, y = [0.0, 1.0, 2.5, 4.0, 7.0], [0.2, 0.1, 2.0, 3.0, 9.0]
    observed = hsic(x, y)
    every = [hsic(x, [y[i] for i in order]) for order in permutations(range(5))]
    exact = np.mean(np.array(every) >= observed - 1e-12)
    assert hsic_p(x, y, seed=1) == pytest.approx(exact, abs=0.01)
    many = np.arange(30.0)
    assert hsic_p(many, many**2, seed=1) == 1 / (N_PAIRINGS + 1)


def test_what_has_no_part_in_it_is_not_found():
    rng = np.random.default_rng(3)
    ps = [hsic_p(rng.normal(size=15), rng.normal(size=15), seed=n) for n in range(40)]
    assert np.mean(np.array(ps) <= 0.1) < 0.25


def test_half_of_the_values_alike_still_have_a_width():
    x = [0.0] * 9 + [1.0]
    assert hsic(x, x) > 0
    with pytest.raises(AssertionError):
        hsic([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
