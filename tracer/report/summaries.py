"""What an intervention did, in a line: outputs, median effect, and how far the controls went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from tracer.evidence.bench import JudgedOutcomes
from tracer.evidence.verdict import Outcome
from tracer.record import PromptRecord, Record, Trial
from tracer.report.effects import (
    Arrays,
    Comparison,
    Measure,
    compare,
    measures,
    outcomes_of,
)
from tracer.report.text import p_value, show_token


class Lead(NamedTuple):
    """The measure an intervention is about, on every prompt."""

    measure: Measure
    compared: tuple[Comparison, ...]
    outcomes: tuple[Outcome, ...]
    """How its comparison with controls was judged, a split each."""


@dataclass(frozen=True)
class SplitSummary:
    """One intervention on one split, for the first screen."""

    outputs: str
    effect: str
    controls: str


@dataclass(frozen=True)
class InterventionSummary:
    """One intervention in a line."""

    name: str
    clamps: tuple[tuple[str, str], ...]
    """Supernode and pill."""
    measure: str | None
    discovery: SplitSummary | None
    held_out: SplitSummary | None


def usable_trials(record: Record, name: str) -> list[Trial]:
    """The trials that could be measured, discovery prompts first."""
    measured = [t for t in record.interventions[name].trials.values() if t.problem is None]
    return sorted(measured, key=lambda t: record.prompts[t.prompt].held_out)


def lead_of(record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes) -> Lead | None:
    """The first measure that the file asks about; None where it asks about none."""
    asked = measures(record.hypothesis.interventions[name])
    if not asked:
        return None
    compared = compare(record, name, asked[0], arrays, judged)
    return Lead(asked[0], compared, outcomes_of(asked[0], name, judged))


def intervention_summary(
    record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes
) -> InterventionSummary:
    """The line of one intervention; without arrays, nothing is said of its controls."""
    lead = lead_of(record, name, arrays, judged)
    trials = usable_trials(record, name)
    return InterventionSummary(
        name=name,
        clamps=tuple(
            (record.supernodes[clamp.supernode].label, clamp.amount.words())
            for clamp in (trials[0].clamps if trials else ())
        ),
        measure=lead.measure.title if lead else None,
        discovery=split_summary(record, trials, lead, held_out=False),
        held_out=split_summary(record, trials, lead, held_out=True),
    )


def split_summary(
    record: Record, trials: Sequence[Trial], lead: Lead | None, *, held_out: bool
) -> SplitSummary | None:
    """What these trials did on one split; None where none of them is of it."""
    members = [t for t in trials if record.prompts[t.prompt].held_out == held_out]
    if not members:
        return None
    found = [c for c in lead.compared if c.held_out == held_out] if lead else []
    return SplitSummary(
        outputs=_top_change([record.prompts[t.prompt] for t in members], members),
        effect=_median_effect(lead.measure, found) if lead and found else "",
        controls=_against_controls(lead, found, held_out=held_out) if lead and found else "",
    )


def _top_change(prompts: Sequence[PromptRecord], trials: Sequence[Trial]) -> str:
    before = Counter(show_token(p.baseline.top[0].token) for p in prompts)
    after = Counter(show_token(t.reading.top[0].token) for t in trials)
    return f"{_counted(before)} → {_counted(after)}"


def _counted(tokens: Counter[str]) -> str:
    total = tokens.total()
    ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        return ranked[0][0]
    shown = ", ".join(f"{token} {n}/{total}" for token, n in ranked[:3])
    return shown + (", …" if len(ranked) > 3 else "")


def _median_effect(measure: Measure, found: Sequence[Comparison]) -> str:
    before, after = median(c.before for c in found), median(c.after for c in found)
    return f"{measure.show(before)} → {measure.show(after)}"


def _against_controls(lead: Lead, found: Sequence[Comparison], *, held_out: bool) -> str:
    measure = lead.measure
    drawn = [value for c in found for value in c.controls]
    if not drawn:
        return "no controls"
    low, high = measure.show(min(drawn)), measure.show(max(drawn))
    tested = [c.p for c in found if c.p is not None]
    if not tested:
        return f"controls {low} to {high}{_across(lead, held_out=held_out)}"
    largest = "largest p" if len(tested) > 1 else "p"
    return f"controls {low} to {high}; {largest} {p_value(max(tested))}"


def _across(lead: Lead, *, held_out: bool) -> str:
    """The p of a test that was made of all prompts of a split."""
    split = "held out" if held_out else "discovery"
    ps = [o.p for o in lead.outcomes if o.split == split and o.p is not None and not o.needed]
    return f"; p {p_value(ps[0])} over all prompts" if ps else ""
