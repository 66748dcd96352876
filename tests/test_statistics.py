import itertools
import math
import random
import statistics as stdlib

import numpy as np
import pytest

from tracer.evidence.statistics import (
    N_SHUFFLES,
    attainable_spearman_p,
    controls_needed,
    holm,
    monte_carlo_p,
    ranks,
    spearman,
    spearman_test,
    wilson,
)


@pytest.mark.parametrize(("held", "n"), [(0, 7), (7, 7), (3, 9), (1, 1), (28, 30)])
def test_wilson_bounds_are_where_the_score_test_is_just_significant(held, n):
    z = stdlib.NormalDist().inv_cdf(0.975)
    low, high = wilson(held, n)
    assert 0 <= low <= held / n <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            score = (held / n - bound) / math.sqrt(bound * (1 - bound) / n)
            assert abs(score) == pytest.approx(z, abs=1e-9)


@pytest.mark.parametrize(("n", "lower"), [(5, 0.57), (10, 0.72), (20, 0.84), (30, 0.89)])
def test_wilson_of_all_held_is_the_known_lower_bound(n, lower):
    assert wilson(n, n)[0] == pytest.approx(lower, abs=0.005)


def test_monte_carlo_p_counts_the_observed_value_and_the_ties():
    controls = np.array([0.0, 1.0, 2.0, 3.0])
    assert monte_carlo_p(5.0, controls, "above") == 1 / 5
    assert monte_carlo_p(2.0, controls, "above") == 3 / 5
    assert monte_carlo_p(2.0, controls, "below") == 4 / 5
    assert monte_carlo_p(-1.0, controls, "below") == 1 / 5
    assert monte_carlo_p(3.0 + 1e-7, controls, "above") == 1 / 5
    assert monte_carlo_p(3.0 + 1e-7, controls, "above", 1e-6) == 2 / 5


@pytest.mark.parametrize("alpha", [0.5, 0.3, 0.1, 0.07, 0.05, 0.03, 0.01, 0.001, 0.999])
def test_controls_needed_is_the_first_count_that_can_pass(alpha):
    counted = next(n for n in itertools.count() if 1 / (n + 1) <= alpha)
    assert controls_needed(alpha) == counted


def test_ninety_nine_controls_reach_one_percent():
    assert controls_needed(0.01) == 99
    assert monte_carlo_p(1.0, np.zeros(99), "above") == 0.01


def test_tied_values_share_their_mean_rank():
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]


def brute_force(x, y, side):
    def rho(order):
        a, b = ranks(x), ranks(order)
        return stdlib.correlation(a.tolist(), b.tolist())

    sign = 1 if side == "above" else -1
    orders = list(itertools.permutations(y))
    return sum(sign * rho(o) >= sign * rho(y) - 1e-12 for o in orders) / len(orders)


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0, 1, 2, 3, 4], [0.1, 0.3, 0.2, 0.8, 0.9]),
        ([0, 1, 2, 3], [4.0, 3.0, 2.0, 1.0]),
        ([0, 1, 1, 2], [1.0, 5.0, 5.0, 9.0]),
        ([2, 0, 1], [1.0, 1.0, 2.0]),
        ([0, 1, 2, 3, 4, 5], [1.0, 1.0, 1.0, 2.0, 3.0, 2.0]),
    ],
)
def test_spearman_p_is_the_share_of_all_orders_that_do_as_well(x, y, side):
    x = [float(v) for v in x]
    found = spearman_test(x, y, side)
    a, b = ranks(x).tolist(), ranks(y).tolist()
    assert found.rho == pytest.approx(stdlib.correlation(a, b))
    assert found.p == pytest.approx(brute_force(x, y, side))
    assert found.p >= attainable_spearman_p(x)


def test_spearman_without_ties_is_the_textbook_formula():
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]
    squares = sum((a - b) ** 2 for a, b in zip(ranks(x), ranks(y), strict=True))
    assert spearman(x, y) == pytest.approx(1 - 6 * squares / (5 * (25 - 1)))


def test_a_constant_series_correlates_with_nothing():
    assert spearman_test([0.0, 1.0, 2.0], [4.0, 4.0, 4.0], "above") == (0.0, 1.0)


def test_the_best_p_is_one_over_the_factorial():
    for k in (2, 3, 4, 5, 6):
        x = [float(v) for v in range(k)]
        assert attainable_spearman_p(x) == pytest.approx(1 / math.factorial(k))
        assert spearman_test(x, x, "above").p == pytest.approx(1 / math.factorial(k))


def test_tied_doses_cannot_reach_as_far():
    x = [0.0, 1.0, 1.0, 2.0]
    reached = {
        spearman_test(x, list(y), "above").p for y in itertools.permutations([1.0, 2.0, 3.0, 4.0])
    }
    assert min(reached) == pytest.approx(attainable_spearman_p(x)) == 2 / 24


def test_long_series_are_shuffled_from_the_seed_and_never_reach_zero():
    x = [float(v) for v in range(10)]
    assert spearman_test(x, x, "above", seed=3) == (pytest.approx(1), 1 / (N_SHUFFLES + 1))
    assert attainable_spearman_p(x) == 1 / (N_SHUFFLES + 1)
    y = [0.0, 3.0, 1.0, 2.0, 5.0, 4.0, 9.0, 6.0, 8.0, 7.0]
    mixed = spearman_test(x, y, "below", seed=3)
    assert mixed == spearman_test(x, y, "below", seed=3)
    assert mixed.p > 0.99
    noisy = [3.0, 0.0, 9.0, 1.0, 5.0, 2.0, 4.0, 8.0, 7.0, 6.0]
    draw, hits, order = random.Random(1), 0, list(noisy)
    for _ in range(20_000):
        draw.shuffle(order)
        hits += stdlib.correlation(x, order) >= stdlib.correlation(x, noisy) - 1e-12
    # Two samples of 20,000 differ by less than five standard errors (0.0028 each at p 0.1).
    assert spearman_test(x, noisy, "above").p == pytest.approx(hits / 20_000, abs=0.015)


def test_holm_is_the_smallest_level_at_which_the_step_down_test_rejects():
    ps = [0.01, 0.04, 0.03, 0.005]
    adjusted = holm(ps)

    def rejects(level):
        rejected = set()
        for place, index in enumerate(sorted(range(4), key=ps.__getitem__)):
            if ps[index] > level / (4 - place):
                break
            rejected.add(index)
        return rejected

    for index, p in enumerate(adjusted):
        assert index in rejects(p + 1e-9)
        assert index not in rejects(p - 1e-9)
    assert holm([]) == ()
    assert holm([0.6, 0.9]) == (1.0, 1.0)
