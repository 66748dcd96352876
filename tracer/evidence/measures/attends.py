"""Tests of how much a head looks from one span to another: `attends`."""

from __future__ import annotations

import numpy as np

from tracer.evidence.case import Case, Wording, untested
from tracer.evidence.measures.carried import drawn
from tracer.evidence.measures.graph_share import Share, graph_of, judge_share
from tracer.evidence.measures.measure import GraphMeasure, MeasureEvidence, Naming
from tracer.evidence.statistics import beyond_p, controls_needed
from tracer.evidence.wording import exact, number, p_text, signed
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.head_share import ShareBounds
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome

ROUNDING = 1e-6
"""Differences of fp32 weights, from 0 to 1, that mean nothing."""


def word(expectation: Attends, naming: Naming) -> Wording:
    """How it is written."""
    return _word(expectation)


def _word(expectation: Attends) -> Wording:
    asked = expectation.attends
    measure = f"attention of {asked.head} from {asked.from_} to {asked.to}"
    for words, bound in (
        ("> {}", expectation.above),
        ("< {}", expectation.below),
        ("rises by > {}", expectation.rises_by),
        ("falls by > {}", expectation.falls_by),
        ("above controls, p ≤ {}", expectation.beats_controls),
        ("below controls, p ≤ {}", expectation.undercuts_controls),
    ):
        if bound is not None:
            return Wording(measure, words.format(exact(bound)), number, expectation.alpha)
    raise AssertionError("an expectation without a test was let through")


def judge(expectation: Attends, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    found = case.trial.attends.get(expectation.attends.key)
    if found is None:
        return case.untested("its weight was not read")
    if found.unseen:
        return case.untested(found.unseen)
    if expectation.alpha is not None:
        return _against_controls(expectation, case, found.clamped, found.unclamped)
    rise = found.clamped - found.unclamped
    observed = f"{number(found.clamped)} (from {number(found.unclamped)})"
    if expectation.above is not None:
        return case.tested(
            held=found.clamped > expectation.above, observed=observed, value=found.clamped
        )
    if expectation.below is not None:
        return case.tested(
            held=found.clamped < expectation.below, observed=observed, value=found.clamped
        )
    change = f"{signed(rise)} ({number(found.unclamped)} → {number(found.clamped)})"
    if expectation.rises_by is not None:
        return case.tested(held=rise > expectation.rises_by, observed=change, value=rise)
    assert expectation.falls_by is not None
    return case.tested(held=-rise > expectation.falls_by, observed=change, value=-rise)


def _against_controls(
    expectation: Attends, case: Case, clamped: float, unclamped: float
) -> PromptOutcome:
    asked = expectation.alpha
    assert asked is not None
    needed = controls_needed(asked)
    if case.controls.n < needed:
        return case.too_few(needed, asked)
    theirs = case.controls.attends[:, list(case.trial.attends).index(expectation.attends.key)]
    theirs = theirs.astype(np.float64)
    side = "above" if expectation.beats_controls is not None else "below"
    p = beyond_p(clamped, unclamped, theirs, side, asked, ROUNDING)
    extreme = float(theirs.max() if side == "above" else theirs.min())
    return case.tested(
        held=p <= asked,
        observed=f"{number(clamped)}, p {p_text(p)} (controls {number(float(np.median(theirs)))}, "
        f"{'highest' if side == 'above' else 'lowest'} {number(extreme)})",
        value=clamped,
        p=p,
        least_p=1 / (case.controls.n + 1),
    )


def judge_unclamped(record: Record, expectation: Attends, prompt: str) -> PromptOutcome:
    """Judge it on one prompt as the model is, beside its graph."""
    graph = graph_of(record, prompt, ())
    if isinstance(graph, str):
        return untested(prompt, graph)
    found = graph.looks.get(expectation.attends.key)
    if found is None:
        return untested(prompt, "its weight was not read")
    if found.share is None:
        return untested(prompt, found.problem or "it has no weight")
    no_others = "no other heads or keys are there"
    share = Share(found.share, found, no_others, drawn(found, "heads or keys"), number)
    bounds = ShareBounds(
        expectation.above,
        expectation.below,
        expectation.beats_controls,
        expectation.undercuts_controls,
    )
    return judge_share(prompt, share, bounds)


MEASURE = MeasureEvidence((Attends,), word, judge)
UNCLAMPED = GraphMeasure(Attends, _word, judge_unclamped, "unclamped,")
