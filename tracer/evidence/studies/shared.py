"""Whether translations share features, and more of them than prompts of other meanings.

For two languages, O[i, j] is the overlap of meaning i in one with meaning j in the other, averaged
over the layers asked for. The diagonal are translations, the rest is unrelated. If it made no
difference which prompts are paired, every pairing would be as likely to have the highest mean:
p is the share of pairings (the prompts of every language but the first put in any order, each
language by itself) whose mean overlap is as high.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tracer.evidence.case import Wording, untested
from tracer.evidence.conclusion import Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.statistics import N_SHUFFLES
from tracer.evidence.studies.study import StudyEvidence
from tracer.evidence.wording import counted, exact, number, p_text
from tracer.hypothesis.studies.shared import Overlap, SharedSpec
from tracer.record.arrays import overlap_key
from tracer.record.testable import baseline_problem
from tracer.record.verdict import PromptOutcome, SplitName

EXACT_UP_TO = 40_320
"""Most pairings that are all counted."""
_ROUNDING = 1e-9

Matrices = Float[np.ndarray, "pair meaning meaning"]
Pairs = Sequence[tuple[int, int]]


class Means(NamedTuple):
    """Mean overlap of translations, and of prompts of different meanings (None for one meaning)."""

    translations: float
    unrelated: float | None


def judge(context: JudgingContext, name: str, study: SharedSpec) -> Iterator[Judged]:
    """Its outcomes."""
    for expectation in study.expect:
        wording = word_overlap(expectation)
        for split, lists in splits(context, study):
            one = _judge(context, name, expectation, lists)
            told = split_outcome(name, split, wording, 1.0, [one])
            outcome = told.model_copy(update={"expected": wording.test})
            yield Judged(f"in the translations of {name},", expectation, wording, outcome)


def splits(context: JudgingContext, spec: SharedSpec) -> Iterator[tuple[SplitName, list[int]]]:
    """Numbers of the lists of each split; a list is of the split of its prompts."""
    for split, prompts in context.splits([names[0] for names in spec.translations]):
        mine = set(prompts)
        yield split, [n for n, names in enumerate(spec.translations) if names[0] in mine]


def word_overlap(expectation: Overlap) -> Wording:
    """How it is written."""
    first, last = expectation.overlap
    where = f"layer {first}" if first == last else f"layers {first} to {last}"
    alpha = expectation.exceeds_unrelated
    measure = f"overlap of active features in {where}"
    if alpha is not None:
        return Wording(measure, f"more than unrelated, p ≤ {exact(alpha)}", number, alpha)
    assert expectation.above is not None
    return Wording(measure, f"> {exact(expectation.above)}")


def means(matrices: Matrices) -> Means:
    """Over all pairs of languages."""
    n = matrices.shape[1]
    diagonal = float(np.trace(matrices, axis1=1, axis2=2).mean()) / n
    if n == 1:
        return Means(diagonal, None)
    rest = float(matrices.sum(axis=(1, 2)).mean()) - n * diagonal
    return Means(diagonal, rest / (n * (n - 1)))


def pairing_p(matrices: Matrices, pairs: Pairs, seed: int) -> float:
    """Share of pairings whose mean overlap is at least that of the translations.

    All of them are counted up to `EXACT_UP_TO`; beyond it `N_SHUFFLES` are drawn from the seed, and
    the translations are counted with them.
    """
    n, n_languages = matrices.shape[1], 1 + max(other for _, other in pairs)
    least = _total(matrices, pairs, _own(n, n_languages)) - _ROUNDING
    if n_pairings(n, n_languages) <= EXACT_UP_TO:
        orders = [np.array(order) for order in permutations(range(n))]
        found = [
            _total(matrices, pairs, [np.arange(n), *rest]) >= least
            for rest in product(orders, repeat=n_languages - 1)
        ]
        return sum(found) / len(found)
    rng = np.random.default_rng(seed)
    ahead = sum(
        _total(matrices, pairs, [rng.permutation(n) for _ in range(n_languages)]) >= least
        for _ in range(N_SHUFFLES)
    )
    return (1 + ahead) / (N_SHUFFLES + 1)


def n_pairings(n_meanings: int, n_languages: int) -> int:
    """(n!)^(languages − 1)."""
    return math.factorial(n_meanings) ** (n_languages - 1)


def least_p(n_meanings: int, n_languages: int) -> float:
    """The smallest p that `pairing_p` can give."""
    exactly = 1 / n_pairings(n_meanings, n_languages)
    return exactly if exactly * EXACT_UP_TO >= 1 else 1 / (N_SHUFFLES + 1)


def _own(n: int, n_languages: int) -> list[Int[np.ndarray, " meaning"]]:
    return [np.arange(n)] * n_languages


def _total(
    matrices: Matrices, pairs: Pairs, orders: Sequence[Int[np.ndarray, " meaning"]]
) -> float:
    """Mean overlap when each language's prompts are put in this order."""
    found = [
        float(matrix[orders[one], orders[other]].mean())
        for matrix, (one, other) in zip(matrices, pairs, strict=True)
    ]
    return sum(found) / len(found)


def _judge(
    context: JudgingContext, name: str, expectation: Overlap, lists: list[int]
) -> PromptOutcome:
    """Judge it on the lists of one split, taken together."""
    spec = context.asked.studies_of(SharedSpec)[name]
    subject = counted(len(lists), "meaning")
    problem = _problem(context, name, [p for n in lists for p in spec.translations[n]])
    if problem is not None:
        return untested(subject, problem)
    matrices = over_layers(context, name, expectation.overlap, lists)
    if not np.isfinite(matrices).all():
        return untested(subject, "no feature is active on two of the prompts in one of the layers")
    found, alpha = means(matrices), expectation.exceeds_unrelated
    observed = number(found.translations)
    if found.unrelated is not None:
        observed += f" (unrelated {number(found.unrelated)})"
    if alpha is None:
        assert expectation.above is not None
        held = found.translations > expectation.above
        return _tested(subject, held=held, observed=observed, value=found.translations)
    pairs = context.record.shared[name].pairs
    best = least_p(len(lists), len(spec.translations[0]))
    if best > alpha:
        return untested(
            subject,
            f"{subject} in {len(spec.translations[0])} languages can be paired so that p is "
            f"{p_text(best)} at best, not {exact(alpha)}: more meanings or languages are needed",
        )
    p = pairing_p(matrices, pairs, context.asked.seed)
    value = found.translations
    told = f"{observed}, p {p_text(p)}"
    return _tested(subject, held=p <= alpha, observed=told, value=value, p=p, best=best)


def over_layers(
    context: JudgingContext, name: str, layers: tuple[int, int], lists: Sequence[int]
) -> Matrices:
    """Overlaps of the lists, averaged over layers."""
    first, last = layers
    overlaps = np.asarray(context.arrays[overlap_key(name)], dtype=np.float64)
    return overlaps[:, first : last + 1].mean(axis=1)[:, lists][:, :, lists]


def _problem(context: JudgingContext, name: str, prompts: Sequence[str]) -> str | None:
    if name not in context.record.shared:
        return "it was not measured: the run is incomplete"
    for prompt in prompts:
        problem = baseline_problem(context.record.prompts[prompt])
        if problem is not None:
            return f"{problem} on {prompt}"
    return None


def _tested(
    subject: str,
    *,
    held: bool,
    observed: str,
    value: float,
    p: float | None = None,
    best: float | None = None,
) -> PromptOutcome:
    return PromptOutcome(
        prompt=subject,
        outcome="held" if held else "failed",
        observed=observed,
        value=value,
        p=p,
        least_p=best,
    )


EVIDENCE = StudyEvidence(SharedSpec, judge)
