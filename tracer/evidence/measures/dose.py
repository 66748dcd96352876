"""Tests of a dose series: does a token's log-probability follow the factor?"""

from __future__ import annotations

from tracer.evidence.case import Case, Wording, log_probability
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.statistics import Side, attainable_spearman_p, spearman_test
from tracer.evidence.wording import counted, exact, p_text, signed
from tracer.hypothesis.expectations.dose import DoseExpectation, Falls, Rises
from tracer.record.testable import unusable
from tracer.record.verdict import PromptOutcome

N_DIGITS = 5
"""Log-probabilities that agree to so many decimals are ties: fp32 tells no more of them."""


def word(expectation: DoseExpectation, naming: Naming) -> Wording:
    """How it is written."""
    assert naming.doses is not None
    verb = expectation.KEY
    measure = f"log p({naming.token(expectation.token)}) over doses of {naming.doses.of}"
    return Wording(measure, f"{verb}, p ≤ {exact(expectation.p)}", signed, expectation.p)


def judge(expectation: DoseExpectation, case: Case) -> PromptOutcome:
    """Judge it on one prompt."""
    doses = case.doses
    assert doses is not None
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
    token = case.token(expectation.token)
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


MEASURE = MeasureEvidence((Rises, Falls), word, judge)
