"""From single prompts to the outcome of one expectation on one split.

Untested prompts count for neither side: an expectation fails only if it could not have held even
had all of them held.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tracer.evidence.case import Wording
from tracer.evidence.statistics import wilson
from tracer.evidence.verdict import Outcome, OutcomeName, PromptOutcome, SplitName
from tracer.evidence.wording import counted, named, p_text

_N_SHOWN = 2
"""Failing prompts that are quoted."""


def gather(
    intervention: str,
    split: SplitName,
    wording: Wording,
    mostly: float,
    prompts: Sequence[PromptOutcome],
) -> Outcome:
    """Put the prompts of one split together; there is at least one."""
    n = len(prompts)
    n_held, n_failed, n_untested = (
        sum(p.outcome == name for p in prompts) for name in ("held", "failed", "untested")
    )
    needed = max(1, math.ceil(mostly * n - 1e-9))
    outcome = _outcome(n_held, n_untested, needed)
    return Outcome(
        intervention=intervention,
        split=split,
        expectation=wording.measure,
        expected=f"{wording.test} on {needed} of {counted(n, 'prompt')}",
        observed=_observed(wording, prompts),
        outcome=outcome,
        reason=_reason(prompts) if outcome == "untested" else None,
        n_held=n_held,
        n_failed=n_failed,
        n_untested=n_untested,
        needed=needed,
        p=_deciding_p(prompts, needed),
        wilson=wilson(n_held, n_held + n_failed) if n_held + n_failed else None,
        prompts=tuple(prompts),
    )


def _outcome(n_held: int, n_untested: int, needed: int) -> OutcomeName:
    if n_held >= needed:
        return "held"
    return "failed" if n_held + n_untested < needed else "untested"


def _deciding_p(prompts: Sequence[PromptOutcome], needed: int) -> float | None:
    """The needed-th smallest p: with it, enough prompts hold; None where fewer have one."""
    ps = sorted(p.p for p in prompts if p.p is not None)
    return ps[needed - 1] if len(ps) >= needed else None


def _observed(wording: Wording, prompts: Sequence[PromptOutcome]) -> str:
    if len(prompts) == 1:
        return prompts[0].observed
    n_held = sum(p.outcome == "held" for p in prompts)
    n_untested = sum(p.outcome == "untested" for p in prompts)
    parts = [f"{n_held} of {len(prompts)}"]
    if n_untested:
        parts.append(f"{n_untested} untested")
    values = [p.value for p in prompts if p.value is not None]
    if values:
        parts.append(f"median {wording.show(statistics.median(values))}")
    ps = [p.p for p in prompts if p.p is not None]
    if ps:
        parts.append(f"highest p {p_text(max(ps))}")
    failed = [p for p in prompts if p.outcome == "failed"]
    quoted = "; ".join(f"{p.prompt}: {p.observed}" for p in failed[:_N_SHOWN])
    more = "; …" if len(failed) > _N_SHOWN else ""
    return ", ".join(parts) + (f" ({quoted}{more})" if quoted else "")


def _reason(prompts: Sequence[PromptOutcome]) -> str:
    """Why prompts are untested, each reason once, with the prompts it concerns."""
    reasons: dict[str, list[str]] = {}
    for prompt in prompts:
        if prompt.outcome == "untested":
            reasons.setdefault(prompt.reason or "not tested", []).append(prompt.prompt)
    told = "; ".join(f"{reason} ({named(names)})" for reason, names in reasons.items())
    if len(prompts) == 1:
        return "; ".join(reasons)
    n = sum(map(len, reasons.values()))
    return f"{n} of {counted(len(prompts), 'prompt')} untested: {told}"
