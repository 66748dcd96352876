"""Tests of a number read off the output: `probability` and `logit_diff`.

A threshold is strict. Against controls, probabilities are compared as logarithms, and a control
nearer than fp32 rounding is a tie, which counts against the hypothesis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.evidence.case import Case, ControlValues, Wording, log_probability, vacuous
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.statistics import Side, beyond_p, controls_needed
from tracer.evidence.wording import exact, number, p_text, signed
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.template import render_token
from tracer.record.record import Record
from tracer.record.trials import Reading
from tracer.record.verdict import PromptOutcome

ROUNDING = 1e-5
"""Differences of fp32 logits (about 20, so 2e-6 apart) that mean nothing."""

Effect = Probability | LogitDiff


def word(expectation: Effect, naming: Naming) -> Wording:
    """How it is written."""
    show = naming.token
    if isinstance(expectation, Probability):
        measure, write = f"probability of {show(expectation.probability)}", number
    else:
        first, second = expectation.logit_diff
        measure, write = f"logit({show(first)}) − logit({show(second)})", signed
    shown = signed if _is_change(expectation) or expectation.is_across else write
    return Wording(measure, _test_words(expectation), shown, expectation.alpha)


def _is_change(expectation: Effect) -> bool:
    tests = (expectation.rises_by, expectation.falls_by, expectation.within)
    return any(test is not None for test in tests)


def judge(expectation: Effect, case: Case) -> PromptOutcome:
    """Judge it on one prompt; tests across prompts are `tracer.evidence.across`."""
    assert not expectation.is_across
    if expectation.side is not None:
        return _against_controls(expectation, case, expectation.side)
    clamped, clean = _value(expectation, case.trial.reading, case), _clean(expectation, case)
    rise = clamped - clean
    write = signed if _is_change(expectation) else partial(_write, expectation)
    observed = f"{_write(expectation, clamped)} (from {_write(expectation, clean)})"
    change = f"{write(rise)} ({_write(expectation, clean)} → {_write(expectation, clamped)})"
    if expectation.above is not None:
        value, held = clamped, clamped > expectation.above
    elif expectation.below is not None:
        value, held = clamped, clamped < expectation.below
    elif expectation.rises_by is not None:
        value, held, observed = rise, rise > expectation.rises_by, change
    elif expectation.within is not None:
        value, held, observed = rise, abs(rise) < expectation.within, change
    else:
        assert expectation.falls_by is not None
        value, held, observed = -rise, -rise > expectation.falls_by, change
    if math.isnan(value):
        return case.untested("the difference of two infinite logits is no number")
    outcome = case.tested(held=held, observed=observed, value=value)
    if held and expectation.within is not None and not _could_leave(expectation, case):
        return vacuous(outcome, "no random set of this size moves it by as much as the margin")
    return outcome


def _could_leave(expectation: Effect, case: Case) -> bool:
    """Whether some matched control leaves the margin; where none was drawn, nobody knows."""
    if case.controls.n == 0:
        return True
    assert expectation.within is not None
    theirs = compared(expectation, case, case.controls).controls
    moved = theirs if isinstance(expectation, LogitDiff) else np.exp(theirs)
    return float(np.abs(moved - _clean(expectation, case)).max()) >= expectation.within


def _test_words(expectation: Effect) -> str:
    for words, bound in (
        ("> {}", expectation.above),
        ("< {}", expectation.below),
        ("rises by > {}", expectation.rises_by),
        ("falls by > {}", expectation.falls_by),
        ("changes by < {}", expectation.within),
        ("above controls, p ≤ {}", expectation.beats_controls),
        ("below controls, p ≤ {}", expectation.undercuts_controls),
        ("above controls across prompts, p ≤ {}", expectation.beats_controls_across),
        ("below controls across prompts, p ≤ {}", expectation.undercuts_controls_across),
        ("above the same rule on wrong donors, p ≤ {}", expectation.beats_procedure),
        ("below the same rule on wrong donors, p ≤ {}", expectation.undercuts_procedure),
    ):
        if bound is not None:
            return words.format(exact(bound))
    raise AssertionError("an expectation without a test was let through")


def _write(expectation: Effect, value: float) -> str:
    return number(value) if isinstance(expectation, Probability) else signed(value)


def _value(expectation: Effect, reading: Reading, case: Case) -> float:
    tokens = [case.token(token) for token in expectation.tokens()[expectation.KEY]]
    return _number(expectation, reading, tokens)


def _number(expectation: Effect, reading: Reading, tokens: list[str]) -> float:
    """The number that an expectation reads; `tokens` are its own, variables filled in."""
    read = [reading.tokens[token] for token in tokens]
    if isinstance(expectation, Probability):
        return read[0].probability
    return read[0].logit - read[1].logit


def _clean(expectation: Effect, case: Case) -> float:
    return _value(expectation, case.prompt.baseline, case)


def _against_controls(expectation: Effect, case: Case, side: Side) -> PromptOutcome:
    asked = expectation.alpha
    assert asked is not None
    n, needed = case.controls.n, controls_needed(asked)
    if n < needed:
        return case.too_few(needed, asked)
    _, observed, clean, controls = compared(expectation, case, case.controls)
    problem = unlike(observed, controls)
    if problem is not None:
        return case.untested(problem)
    p = beyond_p(observed, clean, controls, side, asked, ROUNDING)
    shown = controls if isinstance(expectation, LogitDiff) else np.exp(controls)
    extreme = float(shown.max() if side == "above" else shown.min())
    value = _value(expectation, case.trial.reading, case)
    return case.tested(
        held=p <= asked,
        observed=f"{_write(expectation, value)}, p {p_text(p)} (controls "
        f"{_write(expectation, float(np.median(shown)))}, "
        f"{'highest' if side == 'above' else 'lowest'} {_write(expectation, extreme)})",
        value=value,
        p=p,
        least_p=1 / (n + 1),
    )


def unlike(clamped: float, controls: Float[np.ndarray, " control"]) -> str | None:
    """Why a clamp cannot be compared with its controls; None where it can."""
    if math.isnan(clamped) or bool(np.isnan(controls).any()):
        return "the logits of its controls hold NaN"
    if len(controls) > 1 and float(controls.min()) >= float(controls.max()) - ROUNDING:
        return f"all {len(controls)} controls come out the same, so they say nothing of chance"
    return None


class Compared(NamedTuple):
    """One prompt's numbers, on the scale they are compared on."""

    case: Case
    clamped: float
    clean: float
    controls: Float[np.ndarray, " control"]

    @property
    def median(self) -> float:
        """Of the controls."""
        return float(np.median(self.controls))


def compared(expectation: Effect, case: Case, controls: ControlValues) -> Compared:
    """The clamp's own number, the unclamped one, and the controls'.

    A control that is about another token has moved that one: its change is added to the number
    that the clamp starts from.
    """
    tokens = [case.token(token) for token in expectation.tokens()[expectation.KEY]]
    clean, theirs = case.prompt.baseline, list[float]()
    own, start = (log_number(expectation, each, tokens) for each in (case.trial.reading, clean))
    if not controls.instead:
        return Compared(case, own, start, _of_controls(expectation, controls, tokens))
    for token, control in controls.each():
        mine = tokens if token is None else [case.token(token), *tokens[1:]]
        moved = float(_of_controls(expectation, control, mine)[0])
        theirs.append(start + moved - log_number(expectation, clean, mine))
    return Compared(case, own, start, np.array(theirs))


def log_number(expectation: Effect, reading: Reading, tokens: Sequence[str]) -> float:
    """The number an expectation reads, a probability as its natural logarithm."""
    if isinstance(expectation, Probability):
        return log_probability(reading, tokens[0])
    return reading.tokens[tokens[0]].logit - reading.tokens[tokens[1]].logit


def _of_controls(
    expectation: Effect, controls: ControlValues, tokens: Sequence[str]
) -> Float[np.ndarray, " control"]:
    if isinstance(expectation, Probability):
        return controls.log_probability(tokens[0])
    return controls.logit(tokens[0]) - controls.logit(tokens[1])


class EffectChange(NamedTuple):
    """What clamps changed a number by on one prompt."""

    prompt: str
    held_out: bool
    change: float


def changes_of(record: Record, intervention: str, expectation: Effect) -> list[EffectChange]:
    """Clamped − clean on every prompt that it was read on, discovery prompts first."""
    made = record.interventions.get(intervention)
    found: list[EffectChange] = []
    for trial in made.trials.values() if made else ():
        prompt, declared = record.prompts[trial.prompt], record.hypothesis.prompts[trial.prompt]
        tokens = [render_token(t, declared) for t in expectation.tokens()[expectation.KEY]]
        readings = (prompt.baseline, trial.reading)
        if trial.problem is None and all(t in r.tokens for t in tokens for r in readings):
            before, after = (_number(expectation, reading, tokens) for reading in readings)
            if math.isfinite(before) and math.isfinite(after):
                found.append(EffectChange(trial.prompt, prompt.held_out, after - before))
    return sorted(found, key=lambda each: each.held_out)


MEASURE = MeasureEvidence((Probability, LogitDiff), word, judge)
