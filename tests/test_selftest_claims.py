"""Error rates from verdicts whose truth is known, counted by hand."""

import pytest
from scipy.stats import beta

from tracer.cli.selftest.rates import (
    ClaimResult,
    by,
    clopper_pearson,
    stoppers,
    tally,
    unit_rates,
    within_goals,
)


def verdicts(truth, kind="swap", who="x", heads=False, best="confirmed", **counts):
    return [
        ClaimResult(who, kind, truth, word, (), heads, best)
        for word, count in counts.items()
        for _ in range(count)
    ]


def test_errors_are_confirmed_false_claims_and_true_ones_not_confirmed():
    some = verdicts("false", confirmed=2, refuted=95, inconclusive=3)
    some += verdicts("true", confirmed=17, refuted=2, inconclusive=1)
    false, true = tally(some, "false"), tally(some, "true")
    assert (false.n, false.errors, false.rate) == (100, 2, 0.02)
    assert (true.n, true.errors, true.rate) == (20, 3, 0.15)
    assert false.interval == clopper_pearson(2, 100)


def test_what_is_consistent_at_best_is_wrong_where_it_comes_out_so_and_is_false():
    best = {"best": "consistent"}
    some = verdicts("false", **best, consistent=2, confirmed=1, refuted=7)
    some += verdicts("true", **best, consistent=8, confirmed=1, refuted=1)
    false, true = tally(some, "false"), tally(some, "true")
    assert (false.errors, true.errors) == (3, 1)
    assert (true.consistent, true.upheld) == (8, 9)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 483), (7, 162), (3, 3), (150, 155)])
def test_an_interval_is_that_of_the_beta_distribution(k, n):
    low, high = clopper_pearson(k, n)
    assert low == pytest.approx(0.0 if k == 0 else beta.ppf(0.025, k, n - k + 1), abs=1e-9)
    assert high == pytest.approx(1.0 if k == n else beta.ppf(0.975, k + 1, n - k), abs=1e-9)


def test_what_stops_a_claim_is_counted_and_whether_it_does_so_alone():
    lacks = [("circular",), ("circular", "held-out prompts"), ("small sets", "small sets")]
    some = [ClaimResult("x", "swap", "false", "consistent", each) for each in lacks]
    assert tally(some, "false").consistent == 3
    assert stoppers(some, "false") == {
        "circular": 2,
        "only circular": 1,
        "held-out prompts": 1,
        "small sets": 1,
        "only small sets": 1,
    }
    assert stoppers(some, "true") == {}


def test_what_is_true_of_the_behaviour_alone_has_no_rate():
    found = tally(verdicts("open", confirmed=3, refuted=1), "open")
    assert found.errors is None and found.rate is None and found.interval is None


@pytest.mark.parametrize(
    ("false", "true", "kept"),
    [((1, 99), (90, 10), True), ((2, 99), (90, 10), False), ((1, 99), (89, 11), False)],
)
def test_goals_are_one_and_ten_per_cent(false, true, kept):
    for heads in (False, True):
        some = verdicts("false", heads=heads, confirmed=false[0], refuted=false[1])
        some += verdicts("true", heads=heads, confirmed=true[0], refuted=true[1])
        others = verdicts("false", heads=not heads, refuted=900)
        others += verdicts("true", heads=not heads, confirmed=900)
        assert within_goals(some + others) == kept


def test_without_claims_of_both_truths_no_goal_is_kept():
    assert not within_goals(verdicts("true", confirmed=5))
    features = verdicts("true", confirmed=5) + verdicts("false", refuted=5)
    assert not within_goals(features)
    assert not within_goals([])


def test_groups_keep_their_order():
    some = verdicts("false", kind="swap", refuted=1) + verdicts("false", kind="dose", refuted=2)
    assert {k: t.n for k, t in by(some, "false", lambda v: v.kind).items()} == {
        "swap": 1,
        "dose": 2,
    }
    both = some + verdicts("false", kind="knockout", heads=True, refuted=3)
    found = unit_rates(both, heads=False).false.by_kind
    assert found["dose"].interval_95 == clopper_pearson(0, 2)
    assert list(found) == ["swap", "dose"]
    assert list(unit_rates(both, heads=True).false.by_kind) == ["knockout"]
