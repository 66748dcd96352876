"""Expectations that a hypothesis could state, suggested from the result of an attempt.

Bounds are half of the measured change, to leave other prompts room. None of it is evidence: it was
written after it was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tracer.dashboard.intervene.attempt import NAME, P
from tracer.evidence.context import JudgedOutcomes, JudgingContext
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.dose import DoseExpectation, Falls, Rises
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.top import TopIs, TopIsNot
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import Trial
from tracer.report.effects import EffectComparison, Measure, compare, measures
from tracer.report.outputs import probability
from tracer.report.text import percent, visible_token

ALMOST_NONE = 0.1
"""A supernode that changed by less of itself is not spoken of."""


class SuggestedExpectation(NamedTuple):
    """One change that was measured."""

    words: str
    """For people."""
    expectation: Expectation | DoseExpectation


def suggested_expectations(
    record: Record, prompt: str, arrays: Arrays
) -> tuple[SuggestedExpectation, ...]:
    """Everything of an attempt on a prompt that can be expected of others."""
    trial = record.interventions[NAME].trials[prompt]
    if trial.problem is not None:
        return ()
    return (
        *_tops(record, trial),
        *_effects(record, trial, arrays),
        *_supernodes(record, trial),
        *_doses(record, trial),
    )


def _tops(record: Record, trial: Trial) -> Iterator[SuggestedExpectation]:
    before, after = record.prompts[trial.prompt].baseline.top[0], trial.reading.top[0]
    yield SuggestedExpectation(f"{visible_token(after.token)} comes first", TopIs(top=after.token))
    if before.id != after.id:
        words = f"{visible_token(before.token)} comes first no more"
        yield SuggestedExpectation(words, TopIsNot(top_is_not=before.token))


def _effects(record: Record, trial: Trial, arrays: Arrays) -> Iterator[SuggestedExpectation]:
    context = JudgingContext(record, arrays, record.hypothesis)
    unjudged = JudgedOutcomes(record.hypothesis)
    for measure in measures(record.hypothesis.interventions[NAME]):
        for found in compare(record, NAME, measure, arrays, unjudged):
            if found.prompt == trial.prompt:
                yield from _effect(context, measure, found)


def _effect(
    context: JudgingContext, measure: Measure, found: EffectComparison
) -> Iterator[SuggestedExpectation]:
    change = found.after - found.before
    bound = float(f"{abs(change) / 2:.2g}")
    if bound > 0:
        test = "rises_by" if change > 0 else "falls_by"
        words = f"{measure.title} {'rises' if change > 0 else 'falls'} by more than {bound:g}"
        yield SuggestedExpectation(words, _test(measure, {test: bound}))
    side = "beats_controls" if change > 0 else "undercuts_controls"
    against_controls = _test(measure, {side: P})
    if context.on(NAME, against_controls, found.prompt).outcome == "held":
        words = f"{measure.title} {'beats' if change > 0 else 'undercuts'} matched random sets"
        yield SuggestedExpectation(words, against_controls)


def _test(measure: Measure, test: dict[str, float]) -> Expectation:
    if measure.kind == "probability":
        return Probability.model_validate({"probability": measure.tokens[0], **test})
    return LogitDiff.model_validate({"logit_diff": measure.tokens, **test})


def _supernodes(record: Record, trial: Trial) -> Iterator[SuggestedExpectation]:
    clamped = {clamp.supernode for clamp in trial.clamps}
    for name, activation in trial.supernodes.items():
        share = activation.of_clean
        if name in clamped or share is None or abs(share - 1) < ALMOST_NONE:
            continue
        bound, label = round((1 + share) / 2, 2), record.supernodes[name].label
        test = "fraction_below" if share < 1 else "fraction_above"
        words = f"{label} is {'below' if share < 1 else 'above'} {percent(bound)} of unclamped"
        yield SuggestedExpectation(words, Fraction.model_validate({"supernode": name, test: bound}))


def _doses(record: Record, trial: Trial) -> Iterator[SuggestedExpectation]:
    told = measures(record.hypothesis.interventions[NAME])
    for token in dict.fromkeys(token for measure in told for token in measure.tokens):
        found = [
            (dose.factor, p)
            for dose in trial.doses
            if (p := probability(dose.reading, token)) is not None
        ]
        ordered = [p for _, p in sorted(found)]
        steps = [after - before for before, after in zip(ordered, ordered[1:], strict=False)]
        if steps and all(step > 0 for step in steps):
            words = f"{visible_token(token)} rises with the dose"
            yield SuggestedExpectation(words, Rises(rises=token))
        if steps and all(step < 0 for step in steps):
            words = f"{visible_token(token)} falls with the dose"
            yield SuggestedExpectation(words, Falls(falls=token))
