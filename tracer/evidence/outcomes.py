"""From single prompts to the outcome of one expectation on one split, its mean, and the correction.

Untested and vacuous prompts count for neither side: an expectation fails only if it could not have
held even had all of them held. Where it lacks vacuous prompts to hold, it is vacuous.

An expectation that compares a p with its alpha on k of n prompts at least has the p of that claim,
(n − k + 1) · p₍ₖ₎ with p₍ₖ₎ the k-th smallest (Benjamini & Heller 2008, theorem 1, Bonferroni); on
all prompts it is the largest. A test of all prompts together has its own.

The expectations of a hypothesis are corrected together (Holm 1979). One that compares a p with its
alpha is one test. Over the splits its p is the larger, since the expectation must hold on both. One
that could not be tested still counts, so nobody gains by leaving it so.

The mean of the tested number has a 95 % interval where there are enough groups of prompts that do
not depend on each other (`tracer.evidence.resampling`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Literal

from tracer.evidence.case import Wording
from tracer.evidence.conclusion import Group, Judged, grouped
from tracer.evidence.resampling import subset_interval
from tracer.evidence.statistics import holm, wilson
from tracer.evidence.wording import counted, exact, named, p_text
from tracer.hypothesis.held_out import group_of
from tracer.hypothesis.spec import Hypothesis
from tracer.record.verdict import Mean, Outcome, OutcomeName, PromptOutcome, SplitName

_N_SHOWN = 2
"""Failing prompts that are quoted."""


def split_outcome(
    intervention: str,
    split: SplitName,
    wording: Wording,
    mostly: float,
    prompts: Sequence[PromptOutcome],
) -> Outcome:
    """Put the prompts of one split together; there is at least one."""
    n = len(prompts)
    n_held, n_failed, n_untested, n_vacuous = counts(prompts)
    needed = max(1, math.ceil(mostly * n - 1e-9))
    outcome = _outcome(n_held, n_untested, n_vacuous, needed)
    p, least = (_of_most(prompts, needed, which) for which in ("p", "least_p"))
    observed = _observed(wording, prompts)
    reason = _reason(prompts, outcome) if outcome in ("untested", "vacuous") else None
    if outcome == "held" and wording.alpha is not None and p is not None and p > wording.alpha:
        told = f"for {needed} of {n} together p is {p_text(p)}"
        if least is not None and least > wording.alpha:
            outcome, reason = "untested", f"{told}, and can reach {p_text(least)} at best"
        else:
            outcome, observed = "failed", f"{observed}; {told}"
    return Outcome(
        intervention=intervention,
        split=split,
        expectation=wording.measure,
        expected=f"{wording.test} on {needed} of {counted(n, 'prompt')}",
        observed=observed,
        outcome=outcome,
        reason=reason,
        n_held=n_held,
        n_failed=n_failed,
        n_untested=n_untested,
        n_vacuous=n_vacuous,
        needed=needed,
        p=p,
        least_p=least if needed < n else None,
        wilson=wilson(n_held, n_held + n_failed) if n_held + n_failed else None,
        prompts=tuple(prompts),
    )


def counts(prompts: Sequence[PromptOutcome]) -> tuple[int, int, int, int]:
    """How many held, failed, are untested and are vacuous."""
    names: tuple[OutcomeName, ...] = ("held", "failed", "untested", "vacuous")
    n_held, n_failed, n_untested, n_vacuous = (
        sum(p.outcome == name for p in prompts) for name in names
    )
    return n_held, n_failed, n_untested, n_vacuous


def _outcome(n_held: int, n_untested: int, n_vacuous: int, needed: int) -> OutcomeName:
    if n_held >= needed:
        return "held"
    if n_held + n_untested + n_vacuous < needed:
        return "failed"
    return "vacuous" if n_held + n_vacuous >= needed else "untested"


def _of_most(
    prompts: Sequence[PromptOutcome], needed: int, which: Literal["p", "least_p"]
) -> float | None:
    """P that `needed` of the prompts hold: (n − k + 1) · p₍ₖ₎; None where fewer have one."""
    ps = sorted(p for each in prompts if (p := getattr(each, which)) is not None)
    if len(ps) < needed:
        return None
    return min(1.0, (len(prompts) - needed + 1) * ps[needed - 1])


def _observed(wording: Wording, prompts: Sequence[PromptOutcome]) -> str:
    if len(prompts) == 1:
        return prompts[0].observed
    n_held, _, n_untested, n_vacuous = counts(prompts)
    parts = [f"{n_held} of {len(prompts)}"]
    if n_untested:
        parts.append(f"{n_untested} untested")
    if n_vacuous:
        parts.append(f"{n_vacuous} vacuous")
    values = [p.value for p in prompts if p.value is not None]
    if values:
        parts.append(f"median {wording.show(statistics.median(values))}")
    ps = [p.p for p in prompts if p.p is not None]
    if ps:
        parts.append(f"highest p {p_text(max(ps))}")
    failed = [p for p in prompts if p.outcome == "failed"]
    quoted = "; ".join(f"{p.prompt}: {p.observed}" for p in failed[:_N_SHOWN])
    more = "; …" if len(failed) > _N_SHOWN else ""
    return ", ".join(parts) + (f" ({quoted}{more})" if quoted else "")


def _reason(prompts: Sequence[PromptOutcome], outcome: OutcomeName) -> str:
    """Why prompts are untested, or vacuous, each reason once, with the prompts it concerns."""
    reasons: dict[str, list[str]] = {}
    for prompt in prompts:
        if prompt.outcome == outcome:
            reasons.setdefault(prompt.reason or "not tested", []).append(prompt.prompt)
    told = "; ".join(f"{reason} ({named(names)})" for reason, names in reasons.items())
    if len(prompts) == 1:
        return "; ".join(reasons)
    n = sum(map(len, reasons.values()))
    return f"{n} of {counted(len(prompts), 'prompt')} {outcome}: {told}"


def corrected(judged: Sequence[Judged]) -> list[Judged]:
    """The same outcomes, those held that do not survive the correction taken back.

    One becomes `untested` where even the smallest p that its counts can give would not survive,
    `failed` where it might have.
    """
    groups = grouped(judged)
    tests = [number for number, group in enumerate(groups) if group[0].wording.alpha is not None]
    ps = [_p(groups[number]) for number in tests]
    adjusted = holm([1.0 if p is None else p for p in ps])
    for number, own, p in zip(tests, ps, adjusted, strict=True):
        if own is not None:
            n_splits = len(groups[number])
            groups[number] = [_judge(one, p, len(tests), n_splits) for one in groups[number]]
    return [one for group in groups for one in group]


def _p(group: Group) -> float | None:
    """The larger of its splits; None where one of them was not tested."""
    ps = [one.outcome.p for one in group]
    return None if None in ps else max(p for p in ps if p is not None)


def _least_p(outcome: Outcome) -> float:
    """The smallest p that its counts can give; of single prompts, the largest of theirs."""
    if outcome.least_p is not None:
        return outcome.least_p
    return max(each.least_p for each in outcome.prompts if each.least_p is not None)


def _judge(one: Judged, p: float, n_tests: int, n_splits: int) -> Judged:
    alpha, outcome = one.wording.alpha, one.outcome
    assert alpha is not None
    changes: dict[str, object] = {"p_adjusted": p}
    if outcome.outcome == "held" and p > alpha:
        least = min(1.0, n_tests * _least_p(outcome))
        together = f"corrected for {counted(n_tests, 'test')} of this hypothesis (Holm)"
        if least > alpha:
            changes["outcome"] = "untested"
            changes["reason"] = (
                f"{together}, p can reach {p_text(least)} at best, not {exact(alpha)}: "
                "draw more controls"
            )
        else:
            changes["outcome"] = "failed"
            over = "over both splits and " if n_splits > 1 else ""
            changes["observed"] = f"{outcome.observed}; {over}{together}, p is {p_text(p)}"
    return one._replace(outcome=outcome.model_copy(update=changes))


def with_means(judged: Iterable[Judged], hypothesis: Hypothesis) -> list[Judged]:
    """The same outcomes, each with its mean where its prompts give one."""
    group = cache(partial(group_of, hypothesis))
    return [
        one._replace(
            outcome=one.outcome.model_copy(update={"mean": _mean_of(one, hypothesis, group)})
        )
        for one in judged
    ]


def _mean_of(judged: Judged, hypothesis: Hypothesis, group: Callable[[str], str]) -> Mean | None:
    """The mean of the tested number with its interval.

    Each group of prompts counts once, with its mean. None where too few groups have a number for an
    interval, where one is not finite, and where all are the same: then it would have no width.
    """
    found = {
        one.prompt: one.value
        for one in judged.outcome.prompts
        if one.value is not None and one.prompt in hypothesis.prompts
    }
    values = list(found.values())
    groups = [group(prompt) for prompt in found]
    n, n_groups = len(values), len(set(groups))
    if not all(map(math.isfinite, values)) or len(set(values)) == 1:
        return None
    of_groups: dict[str, list[float]] = {}
    for name, value in zip(groups, values, strict=True):
        of_groups.setdefault(name, []).append(value)
    means = [math.fsum(each) / len(each) for each in of_groups.values()]
    interval = subset_interval(means, hypothesis.seed)
    if interval is None:
        return None
    (low, high), mean = interval, math.fsum(means) / n_groups
    show = judged.wording.show
    by, of = ("", "") if n_groups == n else (" by group", f" in {counted(n_groups, 'group')}")
    return Mean(
        value=mean,
        low=low,
        high=high,
        n_prompts=n,
        n_groups=n_groups,
        text=f"mean {show(mean)}, 95 % interval{by} {show(low)} to {show(high)} "
        f"({counted(n, 'prompt')}{of})",
    )
