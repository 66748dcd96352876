"""Which file judges which expectation."""

from __future__ import annotations

from collections.abc import Callable

from tracer.evidence.case import Case, Wording
from tracer.evidence.measures.dose import judge_dose, word_dose
from tracer.evidence.measures.effect import judge_effect, word_effect
from tracer.evidence.measures.fraction import judge_fraction, word_fraction
from tracer.evidence.measures.text import judge_text, word_text
from tracer.evidence.measures.top import judge_output, word_output
from tracer.hypothesis.clamps import Doses, InterventionSpec
from tracer.hypothesis.expectations.dose import Falls, Rises
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.registry import DoseExpectation, Expectation
from tracer.hypothesis.expectations.text import InLanguage, RhymesWith, Says, SaysNot
from tracer.record.verdict import PromptOutcome

AnyExpectation = Expectation | DoseExpectation


def all_expectations(spec: InterventionSpec) -> tuple[AnyExpectation, ...]:
    """An intervention's expectations in the file's order, those of its doses last."""
    return (*spec.expect, *(spec.doses.expect if spec.doses else ()))


def word(expectation: AnyExpectation, doses: Doses | None, show: Callable[[str], str]) -> Wording:
    """How an expectation is written; `show` writes a token as it reads on the prompts judged."""
    match expectation:
        case Rises() | Falls():
            assert doses is not None
            return word_dose(expectation, doses, show)
        case Fraction():
            return word_fraction(expectation)
        case Probability() | LogitDiff():
            return word_effect(expectation, show)
        case Says() | SaysNot() | InLanguage() | RhymesWith():
            return word_text(expectation, show)
        case _:
            return word_output(expectation, show)


def judge_case(expectation: AnyExpectation, doses: Doses | None, case: Case) -> PromptOutcome:
    """Judge an expectation on one prompt whose baseline holds."""
    match expectation:
        case Rises() | Falls():
            assert doses is not None
            return judge_dose(expectation, doses, case)
        case Fraction():
            return judge_fraction(expectation, case)
        case Probability() | LogitDiff():
            return judge_effect(expectation, case)
        case Says() | SaysNot() | InLanguage() | RhymesWith():
            return judge_text(expectation, case)
        case _:
            return judge_output(expectation, case)
