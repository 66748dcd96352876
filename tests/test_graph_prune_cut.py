import numpy as np
import pytest

from tracer.record.graph.prune import cut


def sorted_cut(scores, share):
    ordered = np.sort(scores)[::-1].astype(np.float64)
    reached = np.cumsum(ordered)
    return ordered[np.searchsorted(reached, share * reached[-1])]


def in_parts(scores, n):
    return lambda: np.array_split(scores, n)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.8, 0.98, 0.9999])
@pytest.mark.parametrize("spread", [0, 1e-6, 1, 10])
def test_it_is_the_value_that_a_full_sort_finds(share, spread):
    rng = np.random.default_rng(int(share * 100))
    scores = np.exp(rng.normal(size=5000) * spread).astype(np.float32)
    assert cut(in_parts(scores, 7), share) == sorted_cut(scores, share)


def test_by_hand():
    scores = np.array([1, 4, 2, 1], dtype=np.float32)
    assert [cut(in_parts(scores, 2), s) for s in (0.0, 0.5, 0.51, 0.75, 0.76)] == [4, 4, 2, 2, 1]


def test_all_and_nothing():
    scores = np.array([3, 1e-44], dtype=np.float32)
    assert cut(in_parts(scores, 1), 1.0) == 0
    assert cut(in_parts(scores[:0], 1), 0.5) == float("inf")
    assert cut(list, 0.5) == float("inf")
