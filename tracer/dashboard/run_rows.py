"""A judged run as tables: its expectations, worst first, and what its interventions did."""

from __future__ import annotations

from tracer.evidence.bench import JudgedOutcomes
from tracer.evidence.verdict import Verdict, rank
from tracer.record import Record
from tracer.report.glance import OUTCOMES, count
from tracer.report.summaries import SplitSummary, intervention_summary
from tracer.report.text import clean, shorten
from tracer.result import Run

CELL = 500
"""Most characters of a cell; whole texts are in the report."""
TEXT = 2_000
"""Most characters of a text on a page."""


def shown(text: str, limit: int = TEXT) -> str:
    """A text from a file, cut and with its control characters visible."""
    return shorten(str(clean(text)), limit)


def outcome_rows(verdict: Verdict) -> list[dict[str, str]]:
    """The expectations as a table."""
    ranked = sorted(verdict.outcomes, key=rank)
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


def outcome_counts(verdict: Verdict) -> str:
    """'✔ 3 held, ✖ 1 failed'."""
    found = count(OUTCOMES, [each.outcome for each in verdict.outcomes])
    return ", ".join(f"{each.icon} {each.n} {each.name}" for each in found if each.n)


def effect_rows(run: Run) -> list[dict[str, str]]:
    """Each intervention on each split: what it did to the output, beside its controls."""
    judged = JudgedOutcomes(run.record.hypothesis, run.verdict.outcomes)
    return [
        {
            "intervention": shown(line.name, CELL),
            "clamps": shown("; ".join(map(" ".join, line.clamps)), CELL),
            "prompts": split,
            "top output": shown(summary.outputs, CELL),
            "measure": shown(line.measure or "", CELL),
            "effect (median)": summary.effect,
            "controls": summary.controls,
        }
        for name in run.record.interventions
        if name in run.record.hypothesis.interventions
        for line in (intervention_summary(run.record, name, run.arrays, judged),)
        for split, summary in _splits(line.discovery, line.held_out)
    ]


def _splits(
    discovery: SplitSummary | None, held_out: SplitSummary | None
) -> list[tuple[str, SplitSummary]]:
    both = (("discovery", discovery), ("held out", held_out))
    return [(split, summary) for split, summary in both if summary is not None]


def facts(record: Record) -> str:
    """Model, basis and time in one line."""
    model = record.model
    started = record.started.replace("T", " ").removesuffix("Z")[:16] + " UTC"
    told = (model.name, f"{record.basis} basis", f"{model.dtype} on {model.device}", started)
    return shown(" · ".join(told), CELL)
