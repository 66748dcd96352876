"""Tests of a number read off the output: `probability` and `logit_diff`.

A threshold is strict. Against controls, probabilities are compared as logarithms, and a control
nearer than fp32 rounding is a tie, which counts against the hypothesis.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.evidence.case import Case, Wording, log_probability
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.statistics import Side, controls_needed, monte_carlo_p
from tracer.evidence.wording import counted, exact, number, p_text, signed
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
    return expectation.rises_by is not None or expectation.falls_by is not None


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
    else:
        assert expectation.falls_by is not None
        value, held, observed = -rise, -rise > expectation.falls_by, change
    if math.isnan(value):
        return case.untested("the difference of two infinite logits is no number")
    return case.tested(held=held, observed=observed, value=value)


def _test_words(expectation: Effect) -> str:
    for words, bound in (
        ("> {}", expectation.above),
        ("< {}", expectation.below),
        ("rises by > {}", expectation.rises_by),
        ("falls by > {}", expectation.falls_by),
        ("above controls, p ≤ {}", expectation.beats_controls),
        ("below controls, p ≤ {}", expectation.undercuts_controls),
        ("above controls across prompts, p ≤ {}", expectation.beats_controls_across),
        ("below controls across prompts, p ≤ {}", expectation.undercuts_controls_across),
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
        return case.untested(
            f"{counted(needed, 'control')} {'is' if needed == 1 else 'are'} needed for "
            f"p ≤ {exact(asked)}; {n} {'was' if n == 1 else 'were'} drawn"
        )
    observed, controls = compared(expectation, case)
    problem = unlike(observed, controls)
    if problem is not None:
        return case.untested(problem)
    p = monte_carlo_p(observed, controls, side, ROUNDING)
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


def compared(expectation: Effect, case: Case) -> tuple[float, Float[np.ndarray, " control"]]:
    """The clamp's own number and its controls', on the scale they are compared on."""
    reading, controls = case.trial.reading, case.controls
    if isinstance(expectation, Probability):
        token = case.token(expectation.probability)
        return log_probability(reading, token), controls.log_probability(token)
    first, second = (case.token(t) for t in expectation.logit_diff)
    difference = reading.tokens[first].logit - reading.tokens[second].logit
    return difference, controls.logit(first) - controls.logit(second)


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
