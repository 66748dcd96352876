"""The tests of Shi et al. 2024 (arXiv:2410.13032), each made once over the prompts of a split.

The distance of two models is F(A, B) = mean over prompts of (s(A) − s(B))². Random circuits are
drawn from the features that belong to no supernode, as many in every layer and place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracer.evidence.circuit_scores import SplitScores
from tracer.evidence.resampling import hsic_p
from tracer.evidence.statistics import holm
from tracer.evidence.wording import counted, exact, named, p_text
from tracer.hypothesis.binomial import (
    at_least,
    at_most,
    attainable_equivalence_p,
    difference_p,
    equivalence_p,
    prompts_needed,
)
from tracer.hypothesis.studies.circuit import (
    FEWEST,
    CircuitTest,
    Equivalent,
    Independent,
    Minimal,
    PartiallyNecessary,
    Sufficient,
)

TIE = 1e-5
"""Scores that agree to so much of their size are ties: fp32 tells no more of them."""


@dataclass(frozen=True)
class Tested:
    """The result of a test; `held` None where it could not be made."""

    held: bool | None
    text: str
    """What was observed, or why nothing was."""
    value: float | None = None
    p: float | None = None
    least_p: float | None = None


@dataclass(frozen=True)
class Standing:
    """A group of members against the fillers, for its minimality."""

    name: str
    distance: float
    """F(C, C∖e)."""
    n_ahead: int
    """Fillers that change less."""
    p: float
    """That it is ahead of a share q* of fillers, Holm's correction made."""


def run_test(expectation: CircuitTest, split: SplitScores, seed: int) -> Tested:
    """Make a test on the prompts that can be judged."""
    if not split.scores:
        reasons = "; ".join(dict.fromkeys(split.problems.values()))
        return Tested(None, f"no prompt can be judged: {reasons}")
    match expectation:
        case Sufficient(sufficient=alpha, share=share):
            own = distance(split.column("whole"), split.column("circuit"))
            theirs = distances(split.column("whole"), split.arrays["random"])
            return _ahead(int(np.count_nonzero(own <= theirs)), theirs, alpha, share)
        case PartiallyNecessary(partially_necessary=alpha, share=share):
            own = distance(split.column("whole"), split.column("rest"))
            theirs = distances(split.column("whole"), split.arrays["random_rest"])
            return _ahead(int(np.count_nonzero(own > theirs)), theirs, alpha, share)
        case Minimal():
            return _minimal(expectation, split)
        case Equivalent():
            return _equivalent(expectation, split)
        case Independent(independent=alpha):
            return _independent(alpha, split, seed)
        case _:
            raise AssertionError(f"no test for {expectation!r}")


def distance(a: Float[np.ndarray, " prompt"], b: Float[np.ndarray, " prompt"]) -> float:
    """F(A, B)."""
    return float(((a - b) ** 2).mean())


def distances(
    a: Float[np.ndarray, " prompt"], many: Float[np.ndarray, "prompt other"]
) -> Float[np.ndarray, " other"]:
    """F(A, B) of many B."""
    return ((a[:, None] - many) ** 2).mean(0)


def _ahead(n_ahead: int, theirs: np.ndarray, alpha: float, share: float) -> Tested:
    """Whether the circuit is ahead of more than a share of the random ones: one-sided binomial."""
    n = len(theirs)
    problem = _unlike(theirs, "random circuits")
    if problem is not None:
        return Tested(None, problem)
    least = share**n
    if least > alpha:
        told = f"{counted(n, 'random circuit')} can reach p {p_text(least)} at best"
        return Tested(None, f"{told}, not {exact(alpha)}")
    p = at_least(n_ahead, n, share)
    return Tested(
        p <= alpha,
        f"ahead of {n_ahead} of {n} random circuits, p {p_text(p)}",
        n_ahead / n,
        p,
        least,
    )


def _unlike(theirs: np.ndarray, what: str) -> str | None:
    """Why controls cannot be compared with: there are none, or they are all the same."""
    if not len(theirs):
        return f"there are no {what}"
    if len(theirs) > 1 and float(np.ptp(theirs)) <= TIE**2 * max(1.0, float(theirs.max())):
        return f"all {len(theirs)} {what} come out the same, so they say nothing of chance"
    return None


def standings(split: SplitScores, share: float) -> list[Standing]:
    """Every group of members against the fillers; p = P(Bin(N, q*) ≤ fillers it is ahead of)."""
    circuit = split.circuit
    if circuit is None or not split.scores:
        return []
    whole = split.column("circuit")
    own = distances(whole, split.arrays["without"])
    fillers = distances(whole, split.arrays["filler"])
    ahead = (own[:, None] > fillers[None, :]).sum(1)
    ps = holm([at_most(int(n), len(fillers), share) for n in ahead])
    return [
        Standing(name, float(far), int(n), p)
        for name, far, n, p in zip(circuit.groups, own, ahead, ps, strict=True)
    ]


def _minimal(expectation: Minimal, split: SplitScores) -> Tested:
    alpha = expectation.minimal
    fillers = distances(split.column("circuit"), split.arrays["filler"])
    problem = _unlike(fillers, "fillers")
    if problem is not None:
        return Tested(None, problem)
    found = standings(split, expectation.share)
    least = len(found) * (1 - expectation.share) ** len(fillers)
    if least > alpha:
        told = f"{counted(len(fillers), 'filler')} and {counted(len(found), 'member')}"
        return Tested(None, f"{told} can reach p {p_text(least)} at best, not {exact(alpha)}")
    idle = [each for each in found if each.p <= alpha]
    worst = min(found, key=lambda each: each.n_ahead)
    told = f"{len(found) - len(idle)} of {len(found)} left out are not shown to be idle"
    if idle:
        told += f" (idle: {named(each.name for each in idle)})"
    return Tested(
        not idle,
        f"{told}; {worst.name} is ahead of {worst.n_ahead} of {len(fillers)} fillers",
        worst.n_ahead / len(fillers),
    )


def _equivalent(expectation: Equivalent, split: SplitScores) -> Tested:
    whole, circuit = split.column("whole"), split.column("circuit")
    d = circuit - whole
    d = d[np.abs(d) > TIE * np.maximum(1.0, np.abs(whole))]
    alpha, margin, n = expectation.equivalent, expectation.margin, len(d)
    if n == 0:
        return Tested(None, "the circuit scores as the model on every prompt: there is no sign")
    least = attainable_equivalence_p(n, margin)
    if least > alpha:
        return Tested(
            None,
            f"{counted(n, 'prompt')} with a difference can reach p {p_text(least)} at best, not "
            f"{exact(alpha)}; {prompts_needed(alpha, margin)} are needed",
        )
    above = int(np.count_nonzero(d > 0))
    p = equivalence_p(above, n, margin)
    differ = difference_p(above, n, margin)
    told = f"above the model on {above} of {n}, p {p_text(p)}; that they differ, p {p_text(differ)}"
    return Tested(p <= alpha, told, above / n, p, least)


def _independent(alpha: float, split: SplitScores, seed: int) -> Tested:
    whole, rest = split.column("whole"), split.column("rest")
    if len(whole) < FEWEST:
        return Tested(
            None,
            f"{counted(len(whole), 'prompt')}: below {FEWEST}, what depends is too often not found "
            "to depend",
        )
    for values, what in ((whole, "the model"), (rest, "the model without the circuit")):
        if float(np.ptp(values)) <= TIE * max(1.0, float(np.abs(values).max())):
            return Tested(None, f"{what} scores the same on every prompt (zero variance)")
    p = hsic_p(whole, rest, seed)
    verb = "not found to depend" if p > alpha else "depends"
    return Tested(p > alpha, f"what is left {verb} on the model's score, HSIC p {p_text(p)}", p)
