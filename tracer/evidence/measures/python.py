"""Tests by Python functions: `python`. What they said was recorded when it was measured."""

from __future__ import annotations

from tracer.evidence.case import Case, Wording
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.measures.top import say_top
from tracer.hypothesis.expectations.python import Python
from tracer.record.verdict import PromptOutcome


def word(expectation: Python, naming: Naming) -> Wording:
    """How it is written."""
    return Wording(f"Python {expectation.python}(…)", "True")


def judge(expectation: Python, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    found = case.trial.python.get(expectation.sha256 or "")
    if found is None or found.clamped is None:
        problem = found.problem if found else None
        return case.untested(problem or "the Python function was not asked when it was measured")
    now = say_top(case.trial.reading)
    return case.tested(
        held=found.clamped,
        observed=f"{found.clamped}: {now} (from {say_top(case.prompt.baseline)})",
    )


MEASURE = MeasureEvidence((Python,), word, judge)
