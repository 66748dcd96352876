"""Exact binomial tests of a circuit against random ones, and of two models against each other.

The tests are those of Shi et al. 2024, *Hypothesis Testing the Circuit Hypothesis in LLMs*
(arXiv:2410.13032, §3 and §4): a circuit must be ahead of a share q* of random circuits, and two
models are equally good where neither has the higher score much more often than the other.
"""

from __future__ import annotations

import math

SHARE = 0.9
"""q*: the share of random circuits that one must be ahead of."""


def at_least(k: int, n: int, q: float) -> float:
    """P(Bin(n, q) ≥ k)."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    log_q, log_rest = math.log(q), math.log1p(-q)
    terms = (_log_ways(n, i) + i * log_q + (n - i) * log_rest for i in range(k, n + 1))
    return min(1.0, math.fsum(map(math.exp, terms)))


def at_most(k: int, n: int, q: float) -> float:
    """P(Bin(n, q) ≤ k)."""
    return at_least(n - k, n, 1 - q)


def _log_ways(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def circuits_needed(alpha: float, share: float = SHARE) -> int:
    """The fewest random circuits that a circuit ahead of all of them needs for p ≤ alpha."""
    n = max(1, math.ceil(math.log(alpha) / math.log(share)) - 1)
    while share**n > alpha:
        n += 1
    return n


def difference_p(n_above: int, n: int, margin: float) -> float:
    """Shi et al.'s test of H0: |P(D > 0) − ½| < margin, by T = |k/n − ½|.

    p = Σ P(Bin(n, ½ + margin) = k) over all k with |k/n − ½| ≥ T. A small one says that the models
    differ; a large one does not say that they are alike, which is what `equivalence_p` is for.
    """
    far = abs(2 * n_above - n)
    low, high = (n - far) // 2, (n + far + 1) // 2
    q = 0.5 + margin
    return 1.0 if low >= high else min(1.0, at_most(low, n, q) + at_least(high, n, q))


def equivalence_p(n_above: int, n: int, margin: float) -> float:
    """Two one-sided tests of H0: |P(D > 0) − ½| ≥ margin (Schuirmann 1987).

    p = max{P(Bin(n, ½ − margin) ≥ k), P(Bin(n, ½ + margin) ≤ k)}; a small one says that neither is
    ahead of the other much more than half of the time.
    """
    return max(at_least(n_above, n, 0.5 - margin), at_most(n_above, n, 0.5 + margin))


def attainable_equivalence_p(n: int, margin: float) -> float:
    """The smallest p of `equivalence_p` on n prompts: that of an even split."""
    return equivalence_p(n // 2, n, margin)


def prompts_needed(alpha: float, margin: float) -> int:
    """The fewest prompts on which an even split has p ≤ alpha: 76 at 0.05 within 0.1."""
    n = 1
    while attainable_equivalence_p(n, margin) > alpha:
        n += 1
    return n
