import math

import pytest

from tracer.hypothesis.binomial import (
    at_least,
    at_most,
    attainable_equivalence_p,
    circuits_needed,
    difference_p,
    equivalence_p,
    prompts_needed,
)


def pmf(k, n, q):
    return math.comb(n, k) * q**k * (1 - q) ** (n - k)


@pytest.mark.parametrize(("k", "n", "q"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.9), (91, 99, 0.9)])
def test_tails_are_sums_of_the_mass(k, n, q):
    assert at_least(k, n, q) == pytest.approx(sum(pmf(i, n, q) for i in range(k, n + 1)))
    assert at_most(k, n, q) == pytest.approx(sum(pmf(i, n, q) for i in range(k + 1)))


def test_nothing_and_everything():
    assert at_least(6, 5, 0.5) == 0 and at_most(-1, 5, 0.5) == 0
    assert at_least(-1, 5, 0.5) == 1 and at_most(7, 5, 0.5) == 1


def test_how_many_random_circuits_must_be_beaten():
    assert circuits_needed(0.05) == 29 and circuits_needed(0.01) == 44
    assert at_least(29, 29, 0.9) <= 0.05 < at_least(28, 28, 0.9)
    assert at_least(96, 100, 0.9) <= 0.05 < at_least(95, 100, 0.9)
    assert circuits_needed(0.05, 0.5) == 5


def test_equivalence_needs_as_many_prompts_as_the_margin_is_narrow():
    assert [prompts_needed(0.05, margin) for margin in (0.1, 0.15, 0.2)] == [76, 36, 20]
    assert equivalence_p(38, 76, 0.1) <= 0.05 < equivalence_p(37, 75, 0.1)
    assert attainable_equivalence_p(20, 0.2) == equivalence_p(10, 20, 0.2)


def test_equivalence_takes_the_worse_of_the_two_sides():
    expected = max(
        sum(pmf(i, 10, 0.3) for i in range(7, 11)), sum(pmf(i, 10, 0.7) for i in range(8))
    )
    assert equivalence_p(7, 10, 0.2) == pytest.approx(expected)
    assert equivalence_p(3, 10, 0.2) == pytest.approx(expected)
    assert equivalence_p(10, 10, 0.2) == pytest.approx(1)


@pytest.mark.parametrize("n_above", range(11))
def test_difference_counts_every_split_at_least_as_uneven(n_above):
    far = abs(n_above / 10 - 0.5)
    expected = sum(pmf(k, 10, 0.6) for k in range(11) if abs(k / 10 - 0.5) >= far - 1e-12)
    assert difference_p(n_above, 10, 0.1) == pytest.approx(expected)


def test_difference_on_an_odd_number():
    expected = sum(pmf(k, 5, 0.6) for k in (0, 1, 4, 5))
    assert difference_p(4, 5, 0.1) == pytest.approx(expected)
    assert difference_p(2, 5, 0.1) == pytest.approx(1)
