"""How often the verdict stays the same when choices of the hypothesis's author are varied.

Every variation is judged as the file is, by its own measurements; the verdict it is compared with
is that on the same interventions, unvaried. A verdict that is open (inconclusive) is neither the
same nor another: the expectation on variations fails only if it could not have held even had all
open ones been the same. Variations are chosen, not drawn, and share prompts and features: the
Wilson interval says how far so few of them could tell, not how often further ones would agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from tracer.evidence.case import Wording, untested
from tracer.evidence.conclusion import Judged
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.statistics import wilson
from tracer.evidence.wording import counted, named
from tracer.hypothesis.implied import Axis, Variation, variations
from tracer.hypothesis.robustness import ROBUSTNESS
from tracer.hypothesis.spec import Hypothesis
from tracer.record.record import Record, VariantRecord
from tracer.record.verdict import (
    Outcome,
    PromptOutcome,
    RobustnessVerdict,
    VariantOutcome,
    VariationCount,
    Verdict,
)

_OPEN = ("inconclusive", "error")
_WORDING = Wording("the verdict", "the same")


def compare_variants(
    record: Record, asked: Hypothesis, base: Verdict, verdicts: Mapping[str, Verdict]
) -> RobustnessVerdict:
    """Put the verdicts on variations beside that on the file as it is.

    Args:
        record: of the run; says which variations there are.
        asked: the hypothesis as judged.
        base: on what the variations repeat, unvaried.
        verdicts: on the variations that were measured, by name.
    """
    declared = [(each, _skipped(each, record)) for each in variations(asked)]
    head = _headline(base.outcomes)
    found = tuple(
        _variant(each, record.variants.get(each.name), base, verdicts.get(each.name), head)
        for each, skipped in declared
        if skipped is None
    )
    axes = [axis for axis in get_args(Axis) if any(each.axis == axis for each in found)]
    return RobustnessVerdict(
        verdict=base.verdict,
        reason=base.reason,
        headline=_words(head) if head else "nothing is expected",
        effect=head.observed if head else None,
        p=_p(head) if head else None,
        total=_count(None, found),
        by_axis=tuple(_count(axis, [v for v in found if v.axis == axis]) for axis in axes),
        variants=found,
        skipped=tuple(f"{each.name}: {skipped}" for each, skipped in declared if skipped),
    )


def judge_robustness(asked: Hypothesis, found: RobustnessVerdict) -> Iterator[Judged]:
    """Outcomes of what is expected of the variations; `held out` where the file holds any out."""
    assert asked.robustness is not None
    split = "held out" if any(each.held_out for each in asked.prompts.values()) else "discovery"
    tests = [_test(each, found) for each in found.variants]
    tests = tests or [untested("variations", "none of the choices turned out to be a variation")]
    for expectation in asked.robustness.expect:
        gathered = split_outcome(ROBUSTNESS, split, _WORDING, expectation.same, tests)
        update = {
            "expected": f"the same in {gathered.needed} of {counted(len(tests), 'variation')}",
            "observed": told(found),
            "reason": _why_open(tests) if gathered.outcome == "untested" else None,
        }
        outcome = gathered.model_copy(update=update)
        yield Judged("over its variations,", expectation, _WORDING, outcome)


def told(found: RobustnessVerdict) -> str:
    """'7 of 8 the same, 1 open; another: size-80 (refuted)'."""
    total, others = found.total, [each for each in found.variants if each.same is False]
    parts = [f"{total.n_same} of {len(found.variants)} the same"]
    if total.n_open:
        parts.append(f"{total.n_open} open")
    text = ", ".join(parts)
    return f"{text}; another: {_verdicts(others)}" if others else text


def in_a_sentence(found: RobustnessVerdict, verdict: str) -> str:
    """What the reason of the whole verdict adds."""
    n, total = len(found.variants), found.total
    if n == 0 or total.n_open == n:
        return f"none of {counted(n, 'variation')} could be judged" if n else "nothing was varied"
    still = f", {total.n_open} open" if total.n_open else ""
    if found.verdict == verdict:
        return f"the same verdict in {total.n_same} of {counted(n, 'variation')}{still}"
    what = f"what the variations repeat is {found.verdict}"
    return f"{what}, in {total.n_same} of {counted(n, 'variation')} too{still}"


def variation_caveats(found: RobustnessVerdict) -> Iterator[str]:
    """What a reader must know of the variations."""
    others = [each for each in found.variants if each.same is False]
    if others:
        yield f"the verdict hangs on choices: with {_verdicts(others)} it is another"
    if found.total.n_open:
        of_all = f"{found.total.n_open} of {counted(len(found.variants), 'variation')}"
        yield f"{of_all} could not be judged, and count for neither side"


def _skipped(variation: Variation, record: Record) -> str | None:
    entry = record.variants.get(variation.name)
    return variation.skipped or (entry.skipped if entry else None)


def _variant(
    variation: Variation,
    entry: VariantRecord | None,
    base: Verdict,
    verdict: Verdict | None,
    head: Outcome | None,
) -> VariantOutcome:
    shown = _same_expectation(head, verdict)
    word = None if verdict is None else verdict.verdict
    decided = word is not None and not {word, base.verdict} & set(_OPEN)
    return VariantOutcome(
        name=variation.name,
        axis=variation.axis,
        change=variation.change if entry is None else entry.change,
        verdict=word,
        reason=_no_verdict(entry) if verdict is None else verdict.reason,
        same=word == base.verdict if decided else None,
        effect=shown.observed if shown else None,
        p=_p(shown) if shown else None,
    )


def _no_verdict(entry: VariantRecord | None) -> str:
    if entry is None:
        return "it was not measured: the run is incomplete"
    return entry.problem or "its measurements are not in the run's folder"


def _headline(outcomes: Sequence[Outcome]) -> Outcome | None:
    """One that is tested by a p, on held-out prompts, if there is such a one."""

    def weight(outcome: Outcome) -> tuple[bool, bool]:
        return outcome.p is not None, outcome.split == "held out"

    return max(outcomes, key=weight, default=None)


def _words(outcome: Outcome) -> str:
    measure = f"{outcome.intervention}: {outcome.expectation} {outcome.expected}"
    return f"{measure} ({outcome.split})"


def _same_expectation(head: Outcome | None, verdict: Verdict | None) -> Outcome | None:
    def key(outcome: Outcome) -> tuple[str, str, str, str]:
        return outcome.intervention, outcome.expectation, outcome.expected, outcome.split

    if head is None or verdict is None:
        return None
    return next((o for o in verdict.outcomes if key(o) == key(head)), None)


def _p(outcome: Outcome) -> float | None:
    return outcome.p if outcome.p_adjusted is None else outcome.p_adjusted


def _count(axis: Axis | None, variants: Sequence[VariantOutcome]) -> VariationCount:
    n_same = sum(each.same is True for each in variants)
    n_other = sum(each.same is False for each in variants)
    n = n_same + n_other
    return VariationCount(
        axis=axis,
        n_same=n_same,
        n_other=n_other,
        n_open=len(variants) - n,
        wilson=wilson(n_same, n) if n else None,
    )


def _test(each: VariantOutcome, found: RobustnessVerdict) -> PromptOutcome:
    if each.same is None:
        reason = each.reason
        if found.verdict in _OPEN:
            reason = f"what is varied is itself {found.verdict}: {found.reason}"
        return untested(each.name, reason)
    observed = f"{each.verdict}, p {each.p:.2g}" if each.p is not None else str(each.verdict)
    return PromptOutcome(
        prompt=each.name, outcome="held" if each.same else "failed", observed=observed
    )


def _why_open(tests: Sequence[PromptOutcome]) -> str:
    reasons: dict[str, list[str]] = {}
    for test in tests:
        if test.reason is not None:
            reasons.setdefault(test.reason, []).append(test.prompt)
    n = sum(map(len, reasons.values()))
    causes = "; ".join(f"{reason} ({named(names)})" for reason, names in reasons.items())
    return f"{n} of {counted(len(tests), 'variation')} open: {causes}"


def _verdicts(variants: Sequence[VariantOutcome]) -> str:
    return named(f"{each.name} ({each.verdict})" for each in variants)
