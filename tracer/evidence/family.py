"""A family of hypotheses that are judged together, and the false discovery rate among them.

A file's verdict stands on all of its tests, so its p is the largest of theirs: whether *every* one
of its nulls is false is an intersection-union test (Berger 1982), which needs no correction. Holm's
within the file, which the verdict itself stands on, is stricter and stays as it is. Over the files
the rate is controlled by Benjamini and Yekutieli (2001): files share a model, control sets and
prompts, so that nothing is known of how their tests depend on each other, and it asks nothing of
that. e-values (Wang & Ramdas 2022) ask nothing either, but a Monte-Carlo p of 99 controls, 0.01 at
best, is worth at most an e of ½ · 0.01^-½ = 5, and a family of two at a rate of 0.05 needs 20.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracer.evidence.statistics import benjamini_yekutieli, yekutieli_factor
from tracer.record.family import FamilyMember, HypothesisFamily
from tracer.record.verdict import Outcome, Verdict

UPHELD = ("confirmed", "consistent")


def family_of(verdicts: Sequence[Verdict], rate: float) -> HypothesisFamily:
    """The family of some verdicts at a rate; those it leaves out have the reason beside them.

    A hypothesis that was not upheld counts with p = 1. One that was upheld without any test that
    gives a p is left out, and so is a run that came to no verdict.
    """
    members = [_member(each) for each in verdicts]
    within = [n for n, member in enumerate(members) if member.reason is None]
    ps = [1.0 if members[n].p is None else members[n].p for n in within]
    adjusted = benjamini_yekutieli([p for p in ps if p is not None])
    best = rate / yekutieli_factor(len(within)) if within else rate
    for n, q in zip(within, adjusted, strict=True):
        member = members[n]
        is_reachable = member.least_p is None or member.least_p <= best
        members[n] = member.model_copy(
            update={"q": q, "discovery": q <= rate, "reachable": is_reachable}
        )
    return HypothesisFamily(rate=rate, members=tuple(members))


def _member(verdict: Verdict) -> FamilyMember:
    tests = [one for one in verdict.outcomes if one.p_adjusted is not None]
    is_upheld = verdict.verdict in UPHELD
    ps = [one.p for one in tests if one.p is not None]
    least = [p for one in tests if (p := _least_p(one)) is not None]
    reason = None
    if verdict.verdict == "error":
        reason = "it came to no verdict"
    elif is_upheld and not ps:
        reason = "none of its tests gives a p"
    return FamilyMember(
        run=verdict.run,
        hypothesis=verdict.hypothesis,
        verdict=verdict.verdict,
        p=max(ps) if is_upheld and ps else None,
        least_p=max(least, default=None),
        reason=reason,
    )


def _least_p(outcome: Outcome) -> float | None:
    """The smallest p that its counts can give; of single prompts, the largest of theirs."""
    if outcome.least_p is not None:
        return outcome.least_p
    return max((p.least_p for p in outcome.prompts if p.least_p is not None), default=None)
