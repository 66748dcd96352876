"""One test of all prompts of a split: the sum of an effect over them, against its controls' sums.

On prompt i the difference is dᵢ = clamped − median of its controls; a probability is compared as
its logarithm. Control j is one set of features for all prompts, so it has a sum of its own,
Tⱼ = Σᵢ (controlᵢⱼ − medianᵢ), and the test asks how often it is as far to the asked side as Σᵢ dᵢ:
p = (1 + #{j: Tⱼ ≥ Σᵢ dᵢ}) / (N + 1). That N random sets agree over prompts as much as this one does
is part of the null: one set of features may well move all prompts the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from tracer.evidence.case import Wording, untested, vacuous
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.effect import ROUNDING, Compared, Effect, compared, unlike
from tracer.evidence.outcomes import counts
from tracer.evidence.statistics import controls_needed, sum_p
from tracer.evidence.wording import counted, exact, p_text, signed
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability, Thresholds
from tracer.hypothesis.procedure import FAMILIES, Family
from tracer.record.verdict import Outcome, OutcomeName, PromptOutcome, SplitName, rank

Null = Literal["random"] | Family
_CALLED: dict[Null, str] = {
    "random": "controls",
    "donors": "lists of wrong donors",
    "shuffled": "shuffled lists of sources",
    "answers": "other answers",
}


class _Test(NamedTuple):
    """The test of one intervention against one kind of control."""

    outcome: OutcomeName
    told: str
    """What was observed, or why nothing was tested."""
    p: float | None
    least_p: float | None
    prompts: tuple[PromptOutcome, ...]


def is_across(expectation: Expectation) -> bool:
    """Whether it is one test of all prompts of a split."""
    return isinstance(expectation, Thresholds) and expectation.is_across


def judge_across(
    context: JudgingContext,
    section: str,
    names: Sequence[str],
    expectation: Expectation,
    split: SplitName,
    prompts: Sequence[str],
    wording: Wording,
) -> Outcome:
    """Judge it on one split.

    Args:
        context: what was observed.
        section: what the outcome is told to be of.
        names: measured interventions, each tested apart; the worst of them decides.
        expectation: see `is_across`.
        split: which prompts these are.
        prompts: at least one.
        wording: how it is written.
    """
    assert isinstance(expectation, Probability | LogitDiff)
    tests = {name: _test(context, name, expectation, prompts) for name in names}
    name = min(tests, key=lambda n: (rank(tests[n]), -(tests[n].p or 0)))
    worst = tests[name]
    kind = f" ({name.removeprefix(f'{section}.')})" if len(names) > 1 else ""
    n_held, n_failed, n_untested, n_vacuous = counts(worst.prompts)
    tested = worst.outcome in ("held", "failed")
    return Outcome(
        intervention=section,
        split=split,
        expectation=wording.measure,
        expected=f"{wording.test}, {counted(len(prompts), 'prompt')} together",
        observed=worst.told + kind if tested else "not tested",
        outcome=worst.outcome,
        reason=None if tested else worst.told + kind,
        n_held=n_held,
        n_failed=n_failed,
        n_untested=n_untested,
        n_vacuous=n_vacuous,
        needed=0,
        p=worst.p,
        least_p=worst.least_p,
        wilson=None,
        prompts=worst.prompts,
    )


def _test(context: JudgingContext, name: str, expectation: Effect, prompts: Sequence[str]) -> _Test:
    """All its nulls; the worst decides, since each asks another question."""
    if not expectation.is_procedure_compared:
        return _against(context, name, expectation, prompts, "random")
    assert expectation.alpha is not None
    needed = controls_needed(expectation.alpha)
    tests = {
        family: _against(context, name, expectation, prompts, family)
        for family, n in _families(context, name, prompts)
        if family == "donors" or n >= needed
    }
    if "donors" not in tests:
        told = (
            "no wrong donors: `controls.donors` gives the rule none to be made anew on, or the "
            "model does not say their answers"
        )
        return _Test("untested", told, None, None, ())
    worst = min(tests.values(), key=lambda test: (rank(test), -(test.p or 0)))
    told = worst.told
    if worst.outcome in ("held", "failed"):
        told = "; ".join(test.told for test in tests.values())
    return worst._replace(told=told, prompts=tests["donors"].prompts)


def _families(
    context: JudgingContext, name: str, prompts: Sequence[str]
) -> Iterator[tuple[Family, int]]:
    """Kinds of procedure-matched controls that were measured, and how many sets of each."""
    trials = [trial for p in prompts if not isinstance(trial := context.trial(name, p), str)]
    for family in FAMILIES:
        n = min((context.case(name, t).procedure[family].n for t in trials), default=0)
        if n:
            yield family, n


def _against(
    context: JudgingContext, name: str, expectation: Effect, prompts: Sequence[str], null: Null
) -> _Test:
    """The test against one kind of control."""
    alpha, side = expectation.alpha, expectation.side
    assert alpha is not None and side is not None
    cases = {prompt: _case(context, name, expectation, prompt, null) for prompt in prompts}
    found = tuple(_difference(expectation, *each) for each in cases.items())
    usable = [each for each in cases.values() if not isinstance(each, str)]
    if not usable:
        reasons = dict.fromkeys(str(each.reason) for each in found)
        return _Test("untested", "; ".join(reasons), None, None, found)
    n = min(len(each.controls) for each in usable)
    least, called = 1 / (n + 1), _CALLED[null]
    if least > alpha:
        told = f"{n} {called} can reach p {p_text(least)} at best, not {exact(alpha)}"
        told += f"; {controls_needed(alpha)} are needed"
        few = next((each.case for each in usable if len(each.controls) == n), None)
        if null == "random" and few is not None and n < few.n_asked:
            told += f", and {few.drawn()}"
        return _Test("untested", told, None, least, found)
    p = sum_p(
        [each.clamped for each in usable],
        [each.clean for each in usable],
        [each.controls for each in usable],
        side,
        alpha,
        ROUNDING * len(usable),
    )
    mean = math.fsum(each.clamped - each.median for each in usable) / len(usable)
    of = counted(len(found), "prompt")
    of = f"{len(usable)} of {of}" if len(usable) < len(found) else of
    told = f"mean difference {signed(mean)} from {n} {called}, p {p_text(p)} ({of})"
    if p > alpha:
        return _Test("failed", told, p, least, found)
    if all(each.case.changes_nothing for each in usable):
        reason = "the clamps change no value"
        return _Test("vacuous", reason, None, None, tuple(vacuous(each, reason) for each in found))
    return _Test("held", told, p, least, found)


def _case(
    context: JudgingContext, name: str, expectation: Effect, prompt: str, null: Null
) -> Compared | str:
    """What is compared on one prompt, or why nothing can be."""
    trial = context.trial(name, prompt)
    if isinstance(trial, str):
        return trial
    case = context.case(name, trial)
    controls = case.controls if null == "random" else case.procedure[null]
    if controls.n == 0:
        return "no controls were drawn"
    found = compared(expectation, case, controls)
    problem = unlike(found.clamped, found.controls)
    if problem is not None:
        return problem
    if not math.isfinite(found.clamped - found.clean) or not np.isfinite(found.controls).all():
        return "its difference from its controls is not finite"
    return found


def _difference(expectation: Effect, prompt: str, found: Compared | str) -> PromptOutcome:
    """dᵢ on one prompt; it holds where it is on the asked side, but only all of them are judged."""
    if isinstance(found, str):
        return untested(prompt, found)
    d = 0.0 if abs(found.clamped - found.median) <= ROUNDING else found.clamped - found.median
    unit = "ln p " if isinstance(expectation, Probability) else ""
    return found.case.tested(
        held=d > 0 if expectation.side == "above" else d < 0,
        observed=f"{signed(d)} ({unit}{signed(found.clamped)}, controls {signed(found.median)})",
        value=d,
    )
