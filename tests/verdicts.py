"""Synthetic verdicts, for what draws and writes them."""

from __future__ import annotations

from typing import Any

from tracer.record.verdict import Outcome, OutcomeName, PromptOutcome, SplitName, Verdict


def make_outcome(
    intervention: str = "swap",
    outcome: OutcomeName = "held",
    split: SplitName = "discovery",
    **replaced: Any,
) -> Outcome:
    values: dict[str, Any] = {
        "intervention": intervention,
        "split": split,
        "expectation": "top token",
        "expected": "' Sacramento' on 2 of 2 prompts",
        "observed": "2 of 2",
        "outcome": outcome,
        "n_held": 2,
        "n_failed": 0,
        "n_untested": 0,
        "needed": 2,
        "wilson": (0.34, 1.0),
        "prompts": (PromptOutcome(prompt="dallas", outcome=outcome, observed="' Sacramento'"),),
    }
    return Outcome(**{**values, **replaced})


def make_verdict(*outcomes: Outcome, **replaced: Any) -> Verdict:
    values: dict[str, Any] = {
        "run": "two_hop/20260102T030405Z-0123ab",
        "hypothesis": "two_hop",
        "claim": "Replacing the state replaces the capital.",
        "verdict": "confirmed",
        "expected": "confirmed",
        "reason": "all expectations held.",
        "outcomes": outcomes or (make_outcome(),),
        "caveats": (),
    }
    return Verdict(**{**values, **replaced})
