"""Judging circuits: scores on each prompt, and tests over the prompts of a split."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.evidence.case import Wording, untested
from tracer.evidence.circuit_scores import SMALL, SplitScores, normalised, scores_of, too_small
from tracer.evidence.circuit_tests import Tested, run_test
from tracer.evidence.conclusion import Judged
from tracer.evidence.context import JudgingContext
from tracer.evidence.outcomes import split_outcome
from tracer.evidence.studies.study import StudyEvidence
from tracer.evidence.wording import counted, exact, number
from tracer.hypothesis.studies.circuit import (
    Bounds,
    CircuitSpec,
    CircuitTest,
    Equivalent,
    Faithfulness,
    Independent,
    Minimal,
    PartiallyNecessary,
    ScoreExpectation,
    Sufficient,
)
from tracer.record.verdict import PromptOutcome


def judge(context: JudgingContext, name: str, study: CircuitSpec) -> Iterator[Judged]:
    """Its outcomes: scores on each prompt, tests over the prompts of a split."""
    for expectation in study.expect:
        for split, prompts in context.splits(study.prompts):
            seen = scores_of(context.record, context.arrays, name, prompts)
            if isinstance(expectation, ScoreExpectation):
                wording = word_score(expectation)
                found = [judge_score(expectation, seen, prompt) for prompt in prompts]
                outcome = split_outcome(name, split, wording, expectation.mostly, found)
            else:
                wording = word_test(expectation)
                one = _together(run_test(expectation, seen, context.asked.seed), seen)
                gathered = split_outcome(name, split, wording, 1.0, [one])
                changes = {"expected": f"{wording.test}, {one.prompt}", "wilson": None}
                outcome = gathered.model_copy(update=changes)
            yield Judged(f"of the circuit {name},", expectation, wording, outcome)


def word_score(expectation: ScoreExpectation) -> Wording:
    """How a score is written."""
    measure = "faithfulness f(C)" if _is_faithfulness(expectation) else "completeness f(M∖C)"
    return Wording(measure, _bounds(expectation.bounds))


def _is_faithfulness(expectation: ScoreExpectation) -> bool:
    return isinstance(expectation, Faithfulness)


def _bounds(bounds: Bounds) -> str:
    tests = ((">", bounds.above), ("<", bounds.below))
    return " and ".join(f"{sign} {exact(bound)}" for sign, bound in tests if bound is not None)


def word_test(expectation: CircuitTest) -> Wording:
    """How a test is written."""
    match expectation:
        case Sufficient(sufficient=alpha, share=share):
            measure = f"sufficiency: nearer to the model than {share:.0%} of random circuits"
            return Wording(measure, f"p ≤ {exact(alpha)}", alpha=alpha)
        case PartiallyNecessary(partially_necessary=alpha, share=share):
            measure = (
                f"partial necessity: taking it out changes more than {share:.0%} of random ones"
            )
            return Wording(measure, f"p ≤ {exact(alpha)}", alpha=alpha)
        case Minimal(minimal=alpha, share=share):
            measure = f"minimality: members against {share:.0%} of fillers"
            return Wording(measure, f"none idle at {exact(alpha)} (Holm over members)")
        case Equivalent(equivalent=alpha, margin=margin):
            measure = f"equivalence: above the model half of the time, within {exact(margin)}"
            return Wording(measure, f"p ≤ {exact(alpha)}", alpha=alpha)
        case Independent(independent=alpha):
            measure = "independence of what is left from the model's score"
            return Wording(measure, f"not refuted at {exact(alpha)}")
        case _:
            raise AssertionError(f"no wording for {expectation!r}")


def judge_score(expectation: ScoreExpectation, seen: SplitScores, prompt: str) -> PromptOutcome:
    """Judge a score on one prompt."""
    if prompt in seen.problems:
        return untested(prompt, seen.problems[prompt])
    scores = seen.scores[prompt]
    if too_small(scores):
        return untested(
            prompt,
            f"ablating everything moves the metric by {number(abs(scores.whole - scores.empty))}, "
            f"less than {exact(SMALL)}: the quotient would say nothing",
        )
    if _is_faithfulness(expectation):
        raw, name = scores.circuit, "F(C)"
    else:
        raw, name = scores.rest, "F(M∖C)"
    value = normalised(raw, scores)
    above, below = expectation.bounds.above, expectation.bounds.below
    held = (above is None or value > above) and (below is None or value < below)
    return PromptOutcome(
        prompt=prompt,
        outcome="held" if held else "failed",
        observed=f"{number(value)} ({name} {number(raw)}, F(∅) {number(scores.empty)}, "
        f"F(M) {number(scores.whole)})",
        value=value,
    )


def _together(result: Tested, seen: SplitScores) -> PromptOutcome:
    """A test as the outcome of all its prompts."""
    n, n_all = len(seen.scores), len(seen.scores) + len(seen.problems)
    label = counted(n_all, "prompt") if n == n_all else f"{n} of {counted(n_all, 'prompt')}"
    if result.held is None:
        return untested(f"{label} together", result.text)
    return PromptOutcome(
        prompt=f"{label} together",
        outcome="held" if result.held else "failed",
        observed=result.text,
        value=result.value,
        p=result.p,
        least_p=result.least_p,
    )


EVIDENCE = StudyEvidence(CircuitSpec, judge)
