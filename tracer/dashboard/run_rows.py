"""A judged run as tables: one row for each expectation, worst first."""

from __future__ import annotations

from tracer.evidence.verdict import Verdict
from tracer.report.glance import OUTCOMES
from tracer.report.text import clean, shorten

CELL = 500
"""Most characters of a cell; whole texts are in the report."""
TEXT = 2_000
"""Most characters of a text on a page."""

_WORST_FIRST = ("failed", "untested", "held")


def shown(text: str, limit: int = TEXT) -> str:
    """A text from a file, cut and with its control characters visible."""
    return shorten(str(clean(text)), limit)


def outcome_rows(verdict: Verdict) -> list[dict[str, str]]:
    """The expectations as a table."""
    ranked = sorted(verdict.outcomes, key=lambda each: _WORST_FIRST.index(each.outcome))
    return [
        {
            "outcome": f"{OUTCOMES[each.outcome]} {each.outcome}",
            "intervention": shown(each.intervention, CELL),
            "prompts": each.split,
            "expectation": shown(each.expectation, CELL),
            "expected": shown(each.expected, CELL),
            "observed": shown(each.observed, CELL),
            "reason": shown(each.reason or "", CELL),
        }
        for each in ranked
    ]
