"""What an intervention did, in a line: outputs, median effect, and how far its controls went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from tracer.evidence.context import JudgedOutcomes
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import Reading, Trial
from tracer.record.verdict import Outcome
from tracer.report.effects import EffectComparison, Measure, compare, measures, outcomes_of
from tracer.report.text import p_value, visible_token


class LeadingMeasure(NamedTuple):
    """The measure an intervention is about, on every prompt."""

    measure: Measure
    compared: tuple[EffectComparison, ...]
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
    """Supernode and pill, then what was done to patterns."""
    measure: str | None
    discovery: SplitSummary | None
    held_out: SplitSummary | None


def usable_trials(record: Record, name: str) -> list[Trial]:
    """The trials that could be measured, discovery prompts first."""
    measured = [t for t in record.interventions[name].trials.values() if t.problem is None]
    return sorted(measured, key=lambda t: record.prompts[t.prompt].held_out)


def leading_measure(
    record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes
) -> LeadingMeasure | None:
    """The first measure that the file asks about; None where it asks about none."""
    asked = measures(record.hypothesis.interventions[name])
    if not asked:
        return None
    compared = compare(record, name, asked[0], arrays, judged)
    return LeadingMeasure(asked[0], compared, outcomes_of(asked[0], name, judged))


def intervention_summary(
    record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes
) -> InterventionSummary:
    """The line of one intervention; without arrays, nothing is said of its controls."""
    leading = leading_measure(record, name, arrays, judged)
    trials = usable_trials(record, name)
    first = trials[0] if trials else None
    clamps, patterns = (first.clamps, first.patterns) if first else ((), ())
    return InterventionSummary(
        name=name,
        clamps=(
            *((record.supernodes[c.supernode].label, c.amount.words()) for c in clamps),
            *(("attention", each.words) for each in patterns),
        ),
        measure=leading.measure.title if leading else None,
        discovery=split_summary(record, trials, leading, held_out=False),
        held_out=split_summary(record, trials, leading, held_out=True),
    )


def split_summary(
    record: Record, trials: Sequence[Trial], leading: LeadingMeasure | None, *, held_out: bool
) -> SplitSummary | None:
    """What these trials did on one split; None where none of them is of it."""
    members = [t for t in trials if record.prompts[t.prompt].held_out == held_out]
    if not members:
        return None
    before = _top_tokens([record.prompts[t.prompt].baseline for t in members])
    outputs = f"{before} → {_top_tokens([t.reading for t in members])}"
    found = [c for c in leading.compared if c.held_out == held_out] if leading else []
    if not leading or not found:
        return SplitSummary(outputs, "", "")
    controls = _against_controls(leading, found, held_out=held_out)
    return SplitSummary(outputs, _median_effect(leading.measure, found), controls)


def _top_tokens(readings: Sequence[Reading]) -> str:
    """The commonest first tokens; how many there are of each, where they differ."""
    tokens = Counter(visible_token(reading.top[0].token) for reading in readings)
    ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        return ranked[0][0]
    shown = ", ".join(f"{token} {n}/{len(readings)}" for token, n in ranked[:3])
    return shown + (", …" if len(ranked) > 3 else "")


def _median_effect(measure: Measure, found: Sequence[EffectComparison]) -> str:
    before, after = median(c.before for c in found), median(c.after for c in found)
    return f"{measure.show(before)} → {measure.show(after)}"


def _against_controls(
    leading: LeadingMeasure, found: Sequence[EffectComparison], *, held_out: bool
) -> str:
    controls = [value for c in found for value in c.controls]
    if not controls:
        return "no controls"
    low, high = (leading.measure.show(end) for end in (min(controls), max(controls)))
    tested = [c.p for c in found if c.p is not None]
    if not tested:
        return f"controls {low} to {high}{_across(leading.outcomes, held_out=held_out)}"
    largest = "largest p" if len(tested) > 1 else "p"
    return f"controls {low} to {high}; {largest} {p_value(max(tested))}"


def _across(outcomes: Sequence[Outcome], *, held_out: bool) -> str:
    """The p of a test that was made of all prompts of a split."""
    split = "held out" if held_out else "discovery"
    ps = [o.p for o in outcomes if o.split == split and o.p is not None and not o.needed]
    return f"; p {p_value(ps[0])} over all prompts" if ps else ""
