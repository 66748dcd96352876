"""One test of all prompts of a split: each against the median of its own controls, in pairs.

On prompt i the difference is dᵢ = clamped − median of the matched controls; a probability is
compared as its logarithm. The paired sign-flip test asks how often their sum would be as far to the
asked side if each could have either sign; prompts of one `group` change sign together. n of them
that differ cannot reach a p below 2⁻ⁿ, so 5 are needed for 0.05 and 7 for 0.01.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tracer.evidence.case import Wording, untested
from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.effect import ROUNDING, Effect, compared, unlike
from tracer.evidence.resampling import attainable_sign_flip_p, sign_flip_p
from tracer.evidence.wording import counted, exact, p_text, signed
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability, Thresholds, fewest
from tracer.hypothesis.held_out import group_of
from tracer.record.verdict import Outcome, OutcomeName, PromptOutcome, SplitName, rank


class _Test(NamedTuple):
    """The test of one intervention."""

    outcome: OutcomeName
    told: str
    """What was observed, or why nothing was tested."""
    p: float | None
    least_p: float
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
    n_held, n_failed, n_untested = (
        sum(each.outcome == word for each in worst.prompts)
        for word in ("held", "failed", "untested")
    )
    return Outcome(
        intervention=section,
        split=split,
        expectation=wording.measure,
        expected=f"{wording.test}, {counted(len(prompts), 'prompt')} together",
        observed="not tested" if worst.outcome == "untested" else worst.told + kind,
        outcome=worst.outcome,
        reason=worst.told + kind if worst.outcome == "untested" else None,
        n_held=n_held,
        n_failed=n_failed,
        n_untested=n_untested,
        needed=0,
        p=worst.p,
        least_p=worst.least_p,
        wilson=None,
        prompts=worst.prompts,
    )


def _test(context: JudgingContext, name: str, expectation: Effect, prompts: Sequence[str]) -> _Test:
    alpha, side = expectation.alpha, expectation.side
    assert alpha is not None and side is not None
    found = tuple(_difference(context, name, expectation, prompt) for prompt in prompts)
    sums: dict[str, float] = {}
    for each in found:
        if each.value is not None:
            group = group_of(context.asked, each.prompt)
            sums[group] = sums.get(group, 0.0) + each.value
    n = sum(value != 0 for value in sums.values())
    n_tested = sum(each.value is not None for each in found)
    grouped = len(sums) < n_tested
    least = attainable_sign_flip_p(n)
    if least > alpha:
        return _Test("untested", _too_few(n, alpha, found, grouped=grouped), None, least, found)
    p = sign_flip_p(list(sums.values()), side, context.asked.seed)
    mean = math.fsum(sums.values()) / n_tested
    of = f"{n_tested} of {len(found)}" if n_tested < len(found) else f"{n_tested}"
    told = f"mean difference {signed(mean)}, p {p_text(p)} ({of} prompts"
    told += f" in {counted(len(sums), 'group')})" if grouped else ")"
    return _Test("held" if p <= alpha else "failed", told, p, least, found)


def _too_few(n: int, alpha: float, found: Sequence[PromptOutcome], *, grouped: bool) -> str:
    """Why no result could be small enough."""
    word = "group" if grouped else "prompt"
    verb = "differs" if n == 1 else "differ"
    told = f"{counted(n, word)} that {verb} from the median of the controls"
    if n == 0:
        told = f"no {word} differs from the median of its controls"
    least, needed = attainable_sign_flip_p(n), fewest(alpha)
    told += f": p can reach {p_text(least)} at best, not {exact(alpha)}"
    told += f"; {needed} are needed" if needed > n else ""
    reasons = dict.fromkeys(each.reason for each in found if each.reason is not None)
    return f"{told} ({'; '.join(map(str, reasons))})" if reasons else told


def _difference(
    context: JudgingContext, name: str, expectation: Effect, prompt: str
) -> PromptOutcome:
    """dᵢ on one prompt; it holds where it is on the asked side, but only all of them are judged."""
    trial = context.trial(name, prompt)
    if isinstance(trial, str):
        return untested(prompt, trial)
    case = context.case(name, trial)
    if case.controls.n == 0:
        return case.untested("no controls were drawn")
    clamped, controls = compared(expectation, case)
    problem = unlike(clamped, controls)
    if problem is not None:
        return case.untested(problem)
    if not math.isfinite(clamped - float(np.median(controls))):
        return case.untested("its difference from the median of its controls is not finite")
    median = float(np.median(controls))
    d = 0.0 if abs(clamped - median) <= ROUNDING else clamped - median
    unit = "ln p " if isinstance(expectation, Probability) else ""
    return case.tested(
        held=d > 0 if expectation.side == "above" else d < 0,
        observed=f"{signed(d)} ({unit}{signed(clamped)}, controls {signed(median)})",
        value=d,
    )
