"""Other sets of as many members: what a few heads, or features of a place, are compared with.

Such a set may share members with the real one, and none comes twice. Where pools are small both
matter. Were shared members left out, the real set would be held against what lacks just its own
members, and any set with more than its share of effect would win: a random one has p at most 0.05
8 times in 100 (two of 16 heads) to 12 (three of 16), not 5. And 99 draws of three different sets
are three.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import combinations, islice, product

import numpy as np
from jaxtyping import Int


def standing_for(own: Sequence[int], drawn: Sequence[int]) -> list[int]:
    """The drawn ones in the order of those they stand for: one of `own` for itself."""
    others = iter(sorted(set(drawn) - set(own)))
    return [each if each in drawn else next(others) for each in own]


MemberSet = tuple[tuple[int, ...], ...]
"""So many members of each pool, in order."""


def n_other_sets(pools: Sequence[Sequence[int]], own: Sequence[Sequence[int]]) -> int:
    """How many choices there are of as many members of each pool as `own` has, without `own`.

    None of them where a pool has too few.
    """
    n = math.prod(math.comb(len(pool), len(k)) for pool, k in zip(pools, own, strict=True))
    return n - _is_choice(pools, own)


def every_other_set(
    pools: Sequence[Sequence[int]], own: Sequence[Sequence[int]]
) -> Iterator[MemberSet]:
    """All of them."""
    real = _in_order(own)
    each = product(*(combinations(pool, len(k)) for pool, k in zip(pools, own, strict=True)))
    return (found for found in each if found != real)


def other_sets(
    pools: Sequence[Sequence[int]],
    own: Sequence[Sequence[int]],
    n: int,
    seed: str,
) -> list[MemberSet]:
    """At most `n` different ones; all there are, if fewer. Pools are in order."""
    if n_other_sets(pools, own) <= n:
        return list(every_other_set(pools, own))
    draw = np.random.default_rng(seed_of(seed))
    numbers = [np.asarray(pool) for pool in pools]
    real, found = _in_order(own), dict[MemberSet, None]()
    while len(found) < n:
        drawn = [_draws(pool, len(k), n, draw) for pool, k in zip(numbers, own, strict=True)]
        found.update((one, None) for one in zip(*drawn, strict=True) if one != real)
    return list(islice(found, n))


def _draws(
    pool: Int[np.ndarray, " m"], k: int, n: int, draw: np.random.Generator
) -> list[tuple[int, ...]]:
    """`n` choices of `k` members of a pool that is in order: those of the `k` least of a row."""
    least = draw.random((n, len(pool))).argsort(axis=1)[:, :k]
    least.sort(axis=1)
    return [tuple(each) for each in pool[least].tolist()]


def _in_order(own: Sequence[Sequence[int]]) -> MemberSet:
    return tuple(tuple(sorted(each)) for each in own)


def _is_choice(pools: Sequence[Sequence[int]], own: Sequence[Sequence[int]]) -> bool:
    return all(set(each) <= set(pool) for pool, each in zip(pools, own, strict=True))


def seed_of(text: str) -> int:
    """A generator's seed from a sentence that names what is drawn."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
