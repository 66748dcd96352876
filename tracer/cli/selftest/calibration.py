"""Levels of the judge's tests where the null is known to be true, and how often intervals miss.

Numbers are drawn, and go through the functions that verdicts are made by. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tracer.engine.other_sets import other_sets
from tracer.evidence.case import Wording
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.resampling import LEVEL, subset_interval
from tracer.evidence.statistics import monte_carlo_p, sum_p
from tracer.record.verdict import PromptOutcome

ALPHA = 0.05
N_CONTROLS = 99
N_PROMPTS = 10
SHARES = (0.1, 0.5, 0.9)
"""Of the prompts, that an expectation must hold on."""
GROUPS = {6: 4_000, 9: 4_000, 20: 1_000}
"""How many values an interval is made of, and how often."""
N_HEADS = 16
HEADS = {"2 of 16 heads": (2,), "3 of 16 heads": (3,), "1 of 16 in each of 2 layers": (1, 1)}
"""By layer, how many heads are claimed."""
N_TESTS = 20_000
N_OUTCOMES = 4_000
_FINE = 999
"""Controls whose p is small enough for several prompts together."""
_DEVIATIONS = 3.3
"""Of the Monte-Carlo error; one level in two thousand passes so much by chance."""


class Level(NamedTuple):
    """How often something was wrong that may be wrong so often."""

    name: str
    allowed: float
    n: int
    n_wrong: int

    @property
    def rate(self) -> float:
        """The share that was wrong."""
        return self.n_wrong / self.n

    @property
    def error(self) -> float:
        """Standard deviation of the rate, were it what is allowed."""
        return math.sqrt(self.allowed * (1 - self.allowed) / self.n)

    @property
    def is_kept(self) -> bool:
        """Whether it is not exceeded beyond its Monte-Carlo error."""
        return self.rate <= self.allowed + _DEVIATIONS * self.error


def levels(seed: int) -> list[Level]:
    """Every level; the seed decides the draws."""
    rng = np.random.default_rng(seed)
    return [
        _one_prompt(rng),
        _all_prompts(rng, "sum over 10 prompts", shift=0.0),
        _all_prompts(rng, "sum, controls move one way", shift=-1.0),
        *_heads(rng),
        *_most_prompts(rng),
        *_intervals(rng),
    ]


def _one_prompt(rng: np.random.Generator) -> Level:
    """`beats_controls` on one prompt: the clamped set is one more random set."""
    drawn = rng.standard_normal((N_TESTS, N_CONTROLS + 1))
    wrong = sum(monte_carlo_p(float(row[0]), row[1:], "above") <= ALPHA for row in drawn)
    return Level("one prompt, 99 controls", ALPHA, N_TESTS, wrong)


def _all_prompts(rng: np.random.Generator, name: str, *, shift: float) -> Level:
    """`beats_controls_across`: one set is one set on all prompts, which moves them all alike.

    With a shift, every random set moves the output away from where it is unclamped.
    """
    n_tests = N_TESTS // 2
    wrong = 0
    for _ in range(n_tests):
        of_sets = rng.standard_normal(N_CONTROLS + 1)
        values = of_sets + rng.standard_normal((N_PROMPTS, N_CONTROLS + 1)) + shift
        clean = np.zeros(N_PROMPTS)
        p = sum_p(values[:, 0], clean, list(values[:, 1:]), "above", ALPHA, 0.0)
        wrong += p <= ALPHA
    return Level(name, ALPHA, n_tests, wrong)


def _heads(rng: np.random.Generator) -> Iterator[Level]:
    """Other sets of few heads: each head has an effect of its own, and those of a set add up.

    The claimed set is one at random, which is one given set of heads whose effects are random.
    """
    for name, own in HEADS.items():
        pools = [range(N_HEADS * layer, N_HEADS * (layer + 1)) for layer in range(len(own))]
        named = [pool[:k] for pool, k in zip(pools, own, strict=True)]
        sets = np.array([sum(each, ()) for each in other_sets(pools, named, N_CONTROLS, name)])
        real = np.array([head for heads in named for head in heads])
        effects = rng.standard_normal((N_TESTS // 2, N_HEADS * len(own)))
        drawn = zip(effects[:, real].sum(1), effects[:, sets].sum(2), strict=True)
        wrong = sum(monte_carlo_p(float(x), theirs, "above") <= ALPHA for x, theirs in drawn)
        yield Level(name, ALPHA, N_TESTS // 2, wrong)


def _most_prompts(rng: np.random.Generator) -> Iterator[Level]:
    """`mostly`: one prompt fewer than needed has an effect, and its p is as small as it can be."""
    for share in SHARES:
        needed = math.ceil(share * N_PROMPTS)
        wrong = 0
        for _ in range(N_OUTCOMES):
            ps = rng.integers(1, _FINE + 2, N_PROMPTS) / (_FINE + 1)
            ps[: needed - 1] = 1 / (_FINE + 1)
            wrong += _holds(ps.tolist(), share)
        yield Level(f"mostly {share:g} of 10 prompts", ALPHA, N_OUTCOMES, wrong)


def _holds(ps: Sequence[float], share: float) -> bool:
    """Whether the judge says that an expectation with these p holds."""
    prompts = [
        PromptOutcome(
            prompt=str(number),
            outcome="held" if p <= ALPHA else "failed",
            observed="",
            value=None,
            p=p,
            least_p=1 / (_FINE + 1),
            reason=None,
        )
        for number, p in enumerate(ps)
    ]
    wording = Wording("null", f"p ≤ {ALPHA}", alpha=ALPHA)
    return split_outcome("null", "held out", wording, share, prompts).outcome == "held"


def _intervals(rng: np.random.Generator) -> Iterator[Level]:
    """Intervals that miss the centre 0, of heavy-tailed values (Student's t, 3 degrees)."""
    for n_groups, n in GROUPS.items():
        wrong = 0
        for values in rng.standard_t(3, size=(n, n_groups)):
            interval = subset_interval(values.tolist())
            assert interval is not None
            wrong += not interval[0] <= 0 <= interval[1]
        yield Level(f"95 % interval misses, n = {n_groups}", 1 - LEVEL, n, wrong)
