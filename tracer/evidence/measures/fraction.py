"""Tests of how active a supernode is after the clamps: `supernode`."""

from __future__ import annotations

import math

from tracer.evidence.case import Case, Wording, vacuous
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.wording import exact, number
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.record.trials import Activation
from tracer.record.verdict import PromptOutcome


def word(expectation: Fraction, naming: Naming) -> Wording:
    """How it is written."""
    reference = "clean" if expectation.of == "clean" else "source"
    measure = f"activation of {expectation.supernode}, share of its {reference} one"
    if expectation.average == "equal":
        measure += ", features counted alike"
    tests = [
        f"{sign} {exact(bound)}"
        for sign, bound in (
            (">", expectation.fraction_above),
            ("<", expectation.fraction_below),
        )
        if bound is not None
    ]
    return Wording(measure, " and ".join(tests))


def judge(expectation: Fraction, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    name = expectation.supernode
    found = case.trial.supernodes.get(name)
    if found is None:
        return case.untested(f"{name} has no place on this prompt")
    value = _share(expectation, found)
    if value is None and found.n_set:
        reason = f"the clamps set all active features of {name} themselves"
        return vacuous(case.untested(reason), reason)
    if value is None:
        return case.untested(_why_none(expectation, found))
    if math.isnan(value):
        return case.untested(f"the activations of {name} hold NaN")
    above, below = expectation.fraction_above, expectation.fraction_below
    held = (above is None or value > above) and (below is None or value < below)
    return case.tested(held=held, observed=number(value), value=value)


def _share(expectation: Fraction, found: Activation) -> float | None:
    """The share that is asked about."""
    if expectation.average == "weighted":
        return found.of_clean if expectation.of == "clean" else found.of_source
    return found.mean_of_clean if expectation.of == "clean" else found.mean_of_source


def _why_none(expectation: Fraction, found: Activation) -> str:
    """Why there is no share; a run older than `average: equal` lacks it though features fired."""
    weighted = found.of_clean if expectation.of == "clean" else found.of_source
    if weighted is not None:
        return "the run is older than `average: equal` and did not record the features' own shares"
    where = "this prompt unclamped" if expectation.of == "clean" else "its sources"
    return f"no active feature: {expectation.supernode} is silent on {where}"


MEASURE = MeasureEvidence((Fraction,), word, judge)
