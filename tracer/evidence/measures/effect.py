"""Tests of a number read off the output: `probability` and `logit_diff`.

A threshold is strict. Against controls, probabilities are compared as logarithms, and a control
nearer than fp32 rounding is a tie, which counts against the hypothesis.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tracer.evidence.case import Case, Wording, log_probability
from tracer.evidence.statistics import Side, controls_needed, monte_carlo_p
from tracer.evidence.wording import counted, exact, number, p_text, signed
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.record.trials import Reading
from tracer.record.verdict import PromptOutcome

ROUNDING = 1e-5
"""Differences of fp32 logits (about 20, so 2e-6 apart) that mean nothing."""

Effect = Probability | LogitDiff


def word_effect(expectation: Effect, show: Callable[[str], str]) -> Wording:
    """How it is written; `show` writes a token as it reads on the prompts judged."""
    if isinstance(expectation, Probability):
        measure, write = f"probability of {show(expectation.probability)}", number
    else:
        first, second = expectation.logit_diff
        measure, write = f"logit({show(first)}) − logit({show(second)})", signed
    test = _test_words(expectation)
    changes = expectation.rises_by is not None or expectation.falls_by is not None
    shown = signed if changes or expectation.is_across else write
    return Wording(measure, test, shown, expectation.alpha)


def judge_effect(expectation: Effect, case: Case) -> PromptOutcome:
    """Judge it on one prompt; tests across prompts are `tracer.evidence.across`."""
    assert not expectation.is_across
    if expectation.side is not None:
        return _against_controls(expectation, case, expectation.side)
    clamped, clean = _value(expectation, case.trial.reading, case), _clean(expectation, case)
    rise = clamped - clean
    write = word_effect(expectation, str).show
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
    if isinstance(expectation, Probability):
        return reading.tokens[case.token(expectation.probability)].probability
    first, second = (reading.tokens[case.token(t)].logit for t in expectation.logit_diff)
    return first - second


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
