"""The statistics against scipy and statsmodels, which the package itself does not need."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tracer.evidence.resampling import subset_interval
from tracer.evidence.statistics import (
    EXACT_UP_TO,
    N_SHUFFLES,
    holm,
    monte_carlo_p,
    spearman,
    spearman_test,
    wilson,
)
from tracer.hypothesis.binomial import at_least, at_most, equivalence_p

RNG = np.random.default_rng(7)


@pytest.mark.parametrize(("held", "n"), [(0, 1), (0, 9), (1, 3), (5, 9), (9, 9), (287, 294)])
def test_wilson_is_that_of_statsmodels(held, n):
    assert wilson(held, n) == pytest.approx(
        proportion_confint(held, n, alpha=0.05, method="wilson"), abs=1e-12
    )


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_holm_is_that_of_statsmodels(n):
    ps = RNG.uniform(0, 0.2, n)
    adjusted = multipletests(ps, method="holm")[1]
    assert holm(ps.tolist()) == pytest.approx(adjusted.tolist(), abs=1e-12)


@pytest.mark.parametrize("n", [3, 5, 6])
@pytest.mark.parametrize("side", ["above", "below"])
def test_spearman_and_its_exact_p_are_those_of_scipy(n, side):
    x, y = RNG.permutation(n).astype(float), RNG.integers(0, 4, n).astype(float)
    if len(set(y)) == 1:
        y[0] += 1

    def rho(order):
        return stats.spearmanr(x, order).statistic

    found = spearman_test(x.tolist(), y.tolist(), side)
    assert spearman(x.tolist(), y.tolist()) == pytest.approx(stats.spearmanr(x, y).statistic)
    theirs = stats.permutation_test(
        (y,),
        rho,
        permutation_type="pairings",
        alternative="greater" if side == "above" else "less",
        n_resamples=np.inf,
    )
    assert n <= EXACT_UP_TO
    assert found.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_p_of_a_long_series_is_near_scipys():
    x = np.arange(20.0)
    y = x + RNG.normal(0, 12, 20)
    found = spearman_test(x.tolist(), y.tolist(), "above")
    theirs = stats.spearmanr(x, y, alternative="greater").pvalue
    spread = 4 * np.sqrt(theirs * (1 - theirs) / N_SHUFFLES)
    assert found.p == pytest.approx(theirs, abs=spread + 0.003)


@pytest.mark.parametrize("n", [6, 9, 12])
def test_the_subset_interval_holds_what_scipys_sign_test_does_not_reject(n):
    values = RNG.normal(0.4, 1, n)
    low, high = subset_interval(values.tolist())

    def p(centre, alternative):
        return stats.permutation_test(
            (values - centre,),
            lambda d, axis: d.sum(axis=axis),
            permutation_type="samples",
            alternative=alternative,
            n_resamples=np.inf,
            vectorized=True,
        ).pvalue

    for bound, outwards, alternative in ((low, -1e-6, "greater"), (high, 1e-6, "less")):
        assert p(bound + outwards, alternative) <= 0.025 < p(bound - outwards, alternative)


def test_the_monte_carlo_p_is_scipys_of_a_given_sample():
    controls = RNG.normal(0, 1, 99)
    theirs = stats.monte_carlo_test(
        [1.3],
        lambda size: controls.reshape(size),
        lambda values, axis: values.mean(axis=axis),
        vectorized=True,
        n_resamples=99,
        alternative="greater",
    )
    assert monte_carlo_p(1.3, controls, "above") == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("k", "n", "q"), [(0, 5, 0.3), (3, 5, 0.9), (95, 99, 0.9), (99, 99, 0.9)])
def test_binomial_tails_are_those_of_scipy(k, n, q):
    assert at_least(k, n, q) == pytest.approx(stats.binom.sf(k - 1, n, q), rel=1e-9, abs=1e-300)
    assert at_most(k, n, q) == pytest.approx(stats.binom.cdf(k, n, q), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("above", "n"), [(38, 76), (40, 76), (20, 76)])
def test_the_equivalence_p_is_the_larger_of_two_binomial_tests(above, n):
    low = stats.binomtest(above, n, 0.4, alternative="greater").pvalue
    high = stats.binomtest(above, n, 0.6, alternative="less").pvalue
    assert equivalence_p(above, n, 0.1) == pytest.approx(max(low, high), rel=1e-9)
