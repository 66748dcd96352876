"""Tests of how active a supernode is after the clamps: `supernode`."""

from __future__ import annotations

import math

from tracer.evidence.case import Case, Wording
from tracer.evidence.verdict import PromptOutcome
from tracer.evidence.wording import exact, number
from tracer.hypothesis.expectations import Fraction


def word_fraction(expectation: Fraction) -> Wording:
    """How it is written."""
    reference = "clean" if expectation.of == "clean" else "source"
    measure = f"activation of {expectation.supernode}, share of its {reference} one"
    tests = [
        f"{sign} {exact(bound)}"
        for sign, bound in (
            (">", expectation.fraction_above),
            ("<", expectation.fraction_below),
        )
        if bound is not None
    ]
    return Wording(measure, " and ".join(tests))


def judge_fraction(expectation: Fraction, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    name = expectation.supernode
    found = case.trial.supernodes.get(name)
    if found is None:
        return case.untested(f"{name} has no place on this prompt")
    value = found.of_clean if expectation.of == "clean" else found.of_source
    if value is None:
        where = "this prompt unclamped" if expectation.of == "clean" else "its sources"
        return case.untested(f"no active feature: {name} is silent on {where}")
    if math.isnan(value):
        return case.untested(f"the activations of {name} hold NaN")
    above, below = expectation.fraction_above, expectation.fraction_below
    held = (above is None or value > above) and (below is None or value < below)
    return case.tested(held=held, observed=number(value), value=value)
