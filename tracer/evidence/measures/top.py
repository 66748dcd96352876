"""Tests of which token comes first: `top`, `top_is_not` and `rank`."""

from __future__ import annotations

from tracer.evidence.case import Case, Wording
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.wording import number, show_token
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot
from tracer.record.testable import is_top
from tracer.record.trials import Reading
from tracer.record.verdict import PromptOutcome


def word(expectation: TopIs | TopIsNot | Rank, naming: Naming) -> Wording:
    """How it is written."""
    show = naming.token
    match expectation:
        case TopIs():
            return Wording("top token", show(expectation.top))
        case TopIsNot():
            return Wording("top token", f"not {show(expectation.top_is_not)}")
        case Rank():
            test = f"at most {expectation.at_most}"
            return Wording(f"rank of {show(expectation.rank)}", test, _whole)


def judge(expectation: TopIs | TopIsNot | Rank, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    clamped, clean = case.trial.reading, case.prompt.baseline
    match expectation:
        case TopIs():
            held = is_top(clamped, case.token(expectation.top))
        case TopIsNot():
            held = not is_top(clamped, case.token(expectation.top_is_not))
        case Rank():
            token = case.token(expectation.rank)
            rank, before = clamped.tokens[token].rank, clean.tokens[token].rank
            observed = f"{rank} (from {before})"
            return case.tested(
                held=rank <= expectation.at_most, observed=observed, value=float(rank)
            )
    return case.tested(held=held, observed=f"{say_top(clamped)} (from {say_top(clean)})")


def say_top(reading: Reading) -> str:
    """The most probable token and its probability."""
    return f"{show_token(reading.top[0].token)} {number(reading.top[0].probability)}"


def _whole(rank: float) -> str:
    return f"{rank:g}"


MEASURE = MeasureEvidence((TopIs, TopIsNot, Rank), word, judge)
