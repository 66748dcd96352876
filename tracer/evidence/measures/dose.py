"""Tests of a dose series: does a token's log-probability follow the factor?"""

from __future__ import annotations

from collections.abc import Callable

from tracer.evidence.case import Case, Wording, log_probability, unusable
from tracer.evidence.statistics import Side, attainable_spearman_p, spearman_test
from tracer.evidence.wording import counted, exact, p_text, signed
from tracer.hypothesis.clamps import Doses
from tracer.hypothesis.expectations.dose import Falls, Rises
from tracer.hypothesis.expectations.registry import DoseExpectation
from tracer.record.verdict import PromptOutcome

N_DIGITS = 5
"""Log-probabilities that agree to so many decimals are ties: fp32 tells no more of them."""


def word_dose(expectation: DoseExpectation, doses: Doses, show: Callable[[str], str]) -> Wording:
    """How it is written; `show` writes a token as it reads on the prompts judged."""
    verb = "rises" if isinstance(expectation, Rises) else "falls"
    measure = f"log p({show(dose_token(expectation))}) over doses of {doses.of}"
    return Wording(measure, f"{verb}, p ≤ {exact(expectation.p)}", signed, expectation.p)


def dose_token(expectation: DoseExpectation) -> str:
    """The token it reads, as written in the file."""
    return expectation.falls if isinstance(expectation, Falls) else expectation.rises


def judge_dose(expectation: DoseExpectation, doses: Doses, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    measured = {dose.factor: dose.reading for dose in case.trial.doses}
    series = [(factor, measured[factor]) for factor in doses.factors if factor in measured]
    if len(series) < len(doses.factors):
        return case.untested(f"{len(series)} of {counted(len(doses.factors), 'dose')} measured")
    factors = [factor for factor, _ in series]
    reachable = attainable_spearman_p(factors)
    if reachable > expectation.p:
        return case.untested(
            f"{counted(len(series), 'dose')} can reach p {p_text(reachable)} at best, "
            f"not {exact(expectation.p)}"
        )
    problem = next((why for _, reading in series if (why := unusable(reading))), None)
    if problem is not None:
        return case.untested(f"{problem} at one of the doses")
    token = case.token(dose_token(expectation))
    values = [round(log_probability(reading, token), N_DIGITS) for _, reading in series]
    side: Side = "above" if isinstance(expectation, Rises) else "below"
    rho, p = spearman_test(factors, values, side, case.seed)
    right_way = rho > 0 if side == "above" else rho < 0
    return case.tested(
        held=right_way and p <= expectation.p,
        observed=f"ρ {signed(rho)}, p {p_text(p)}",
        value=rho,
        p=p,
        least_p=reachable,
    )
