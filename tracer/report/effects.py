"""The number an intervention is about: before and after its clamps, and on its controls.

Nothing is judged here: the p that is shown is read off the judged outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

import numpy as np

from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.wording import show_written
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability, Thresholds
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot
from tracer.hypothesis.template import render_token
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import Reading, TokenReading, Trial
from tracer.record.verdict import Outcome
from tracer.report.text import percent, signed


@dataclass(frozen=True)
class Measure:
    """A number read off an output."""

    kind: Literal["logit_diff", "probability"]
    tokens: tuple[str, ...]
    """As the file writes them: `{variables}` differ from prompt to prompt."""
    tail: Literal["above", "below"] | None
    """The side the file compares with controls; None where it asks for no comparison."""
    expectation: Expectation | None = field(default=None, compare=False)
    """What the file expects of it."""

    @property
    def title(self) -> str:
        """The measure in words."""
        names = [show_written(token) for token in self.tokens]
        if self.kind == "probability":
            return f"p({names[0]})"
        return f"logit({names[0]}) − logit({names[1]})"

    def show(self, value: float) -> str:
        """A value in the measure's own unit."""
        return percent(value) if self.kind == "probability" else signed(value)


@dataclass(frozen=True)
class EffectComparison:
    """One measure on one prompt: unclamped, clamped, and under every matched control."""

    prompt: str
    held_out: bool
    before: float
    after: float
    controls: tuple[float, ...]
    p: float | None
    """The judge's; None where this prompt was not tested, or not compared with controls."""


def measures(spec: InterventionSpec) -> tuple[Measure, ...]:
    """The intervention's measures: compared with controls, then differences, then file order."""
    found = list(dict.fromkeys(m for e in spec.expect if (m := _measure(e)) is not None))
    compared = {(m.kind, m.tokens) for m in found if m.tail is not None}
    kept = [m for m in found if m.tail is not None or (m.kind, m.tokens) not in compared]
    return tuple(sorted(kept, key=lambda m: (m.tail is None, m.kind)))


def _measure(expectation: Expectation) -> Measure | None:
    tail = expectation.side if isinstance(expectation, Thresholds) else None
    match expectation:
        case LogitDiff():
            return Measure("logit_diff", expectation.logit_diff, tail, expectation)
        case Probability():
            return Measure("probability", (expectation.probability,), tail, expectation)
        case TopIs():
            return Measure("probability", (expectation.top,), None)
        case TopIsNot():
            return Measure("probability", (expectation.top_is_not,), None)
        case Rank():
            return Measure("probability", (expectation.rank,), None)
        case _:
            return None


def fill(record: Record, prompt: str, token: str) -> str:
    """A token as it is on one prompt, its `{variables}` filled in."""
    return render_token(token, record.hypothesis.prompts[prompt])


def find(reading: Reading, token: str) -> TokenReading | None:
    """A token's reading, asked for or among the top; None where it was not recorded."""
    return reading.tokens.get(token) or next((t for t in reading.top if t.token == token), None)


def compare(
    record: Record,
    intervention: str,
    measure: Measure,
    arrays: Arrays,
    judged: JudgedOutcomes,
) -> tuple[EffectComparison, ...]:
    """The measure on every prompt it was taken on, discovery prompts first."""
    outcomes = outcomes_of(measure, intervention, judged)
    ps = {each.prompt: each.p for outcome in outcomes for each in outcome.prompts}
    trials = record.interventions[intervention].trials.values()
    found = [_compare(record, intervention, trial, measure, arrays, ps) for trial in trials]
    return tuple(sorted((c for c in found if c is not None), key=lambda c: c.held_out))


def outcomes_of(measure: Measure, intervention: str, judged: JudgedOutcomes) -> tuple[Outcome, ...]:
    """How its comparison with controls was judged, a split each; none where none is asked for."""
    if measure.tail is None or measure.expectation is None:
        return ()
    return tuple(judged.of(intervention, measure.expectation))


def _compare(
    record: Record,
    intervention: str,
    trial: Trial,
    measure: Measure,
    arrays: Arrays,
    ps: Mapping[str, float | None],
) -> EffectComparison | None:
    prompt = record.prompts[trial.prompt]
    tokens = tuple(fill(record, trial.prompt, token) for token in measure.tokens)
    before = _value(measure, prompt.baseline, tokens)
    after = _value(measure, trial.reading, tokens)
    if trial.problem is not None or before is None or after is None:
        return None
    if not (isfinite(before) and isfinite(after)):
        return None
    stem = f"controls/{intervention}/{trial.prompt}"
    controls = _controls(measure, tokens, trial, stem, arrays)
    p = ps.get(trial.prompt)
    return EffectComparison(trial.prompt, prompt.held_out, before, after, controls, p)


def _value(measure: Measure, reading: Reading, tokens: tuple[str, ...]) -> float | None:
    known = [each for token in tokens if (each := find(reading, token)) is not None]
    if len(known) < len(tokens):
        return None
    if measure.kind == "probability":
        return known[0].probability
    return known[0].logit - known[1].logit


def _controls(
    measure: Measure, tokens: tuple[str, ...], trial: Trial, stem: str, arrays: Arrays
) -> tuple[float, ...]:
    if f"{stem}/logits" not in arrays or not set(tokens) <= set(trial.control_tokens):
        return ()
    logits = np.asarray(arrays[f"{stem}/logits"], dtype=np.float64)
    columns = [logits[:, trial.control_tokens.index(token)] for token in tokens]
    if measure.kind == "logit_diff":
        values = columns[0] - columns[1]
    else:
        values = np.exp(columns[0] - np.asarray(arrays[f"{stem}/logsumexp"], dtype=np.float64))
    return tuple(float(value) for value in values if np.isfinite(value))
