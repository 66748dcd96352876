"""Which expectation is which: against the plain way of comparing each with each."""

import random
import time

import pytest

from tracer.evidence.matching import Match, matched

KEYS = {"logit_diff": [["a", "b"], ["b", "a"]], "above": [1.0, 2.0], "top": ["x", "y"],
        "mostly": [1.0, 0.5], "p": [0.05, 0.01]}  # fmt: skip


def some(rng, n):
    """Expectations of few kinds, so that many are alike and some equal."""
    return [
        {key: rng.choice(values) for key, values in KEYS.items() if rng.random() < 0.6}
        for _ in range(n)
    ]


def alike(one, other):
    shared = (one.keys() & other.keys()) - {"mostly"}
    return sum(one[key] == other[key] for key in shared), len(shared)


def each_with_each(old, new):
    """As a person would: strike out what is equal, then give each of the rest its nearest."""
    left, rest, found = list(enumerate(new)), [], []
    for place, given in enumerate(old):
        same = next((other for other in left if other[1] == given), None)
        if same is None:
            rest.append((place, given))
        else:
            left.remove(same)
    for place, given in rest:
        nearest = max(left, key=lambda other: alike(given, other[1]), default=None)
        if nearest is None or alike(given, nearest[1]) == (0, 0):
            found.append(Match(place, None))
        else:
            left.remove(nearest)
            found.append(Match(place, nearest[0]))
    return [*found, *(Match(None, place) for place, _ in left)]


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_comparing_each_with_each_gives(seed):
    rng = random.Random(seed)
    old, new = some(rng, rng.randrange(12)), some(rng, rng.randrange(12))
    assert matched(old, new) == each_with_each(old, new)


def test_equal_ones_are_found_wherever_they_stand():
    old = [{"top": "x"}, {"top": "y"}, {"top": "x"}]
    assert matched(old, old[::-1]) == []
    assert matched(old, [{"top": "x"}]) == [Match(1, None), Match(2, None)]


def test_ten_thousand_changed_thresholds_are_matched_in_seconds():
    old = [{"logit_diff": ["a", "b"], "above": float(n)} for n in range(10_000)]
    new = [{**each, "above": each["above"] + 0.5} for each in old]
    began = time.perf_counter()
    found = matched(old, new)
    assert found == [Match(n, n) for n in range(10_000)]
    assert time.perf_counter() - began < 20  # 10⁸ comparisons in Python take minutes
