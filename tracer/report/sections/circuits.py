"""A run's circuits as the report shows them: scores, the curve, and what each member adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracer.evidence.circuit_scores import (
    SplitScores,
    areas_of,
    curve_of,
    normalised,
    scores_of,
    too_small,
)
from tracer.evidence.circuit_tests import Standing, standings
from tracer.hypothesis.binomial import SHARE
from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import CircuitRecord, CircuitScores
from tracer.record.verdict import SplitName
from tracer.report.curves import CurvePlot, curve_plot
from tracer.report.limits import Cut
from tracer.report.text import NONE, number, percent, plural

N_BARS = 40
"""Members that are drawn, those that do least first."""


@dataclass(frozen=True)
class ScoreRow:
    """One prompt, or the mean of a split: raw, then normalised."""

    prompt: str
    raw: tuple[str, ...]
    """F(M), F(∅), F(C), F(M∖C)."""
    faithfulness: str
    completeness: str
    note: str


@dataclass(frozen=True)
class MemberBar:
    """What leaving a member out changes, beside the fillers."""

    name: str
    share: float
    """Of the widest bar, from 0 to 1."""
    change: str
    ahead: str


@dataclass(frozen=True)
class CircuitSplit:
    """One circuit on one split."""

    name: SplitName
    rows: tuple[ScoreRow, ...]
    rival: str
    areas: str
    members: Cut[MemberBar]


@dataclass(frozen=True)
class CircuitView:
    """One circuit."""

    name: str
    about: str
    facts: tuple[tuple[str, str], ...]
    splits: tuple[CircuitSplit, ...]
    curve: CurvePlot | None
    notes: tuple[str, ...]


def circuit_views(record: Record, arrays: Arrays) -> tuple[CircuitView, ...]:
    """Every circuit of a run that has been measured at all, in the file's order."""
    return tuple(_view(record, arrays, name, found) for name, found in record.circuit.items())


def _view(record: Record, arrays: Arrays, name: str, found: CircuitRecord) -> CircuitView:
    spec = record.hypothesis.studies_of(CircuitSpec)[name]
    seen = dict(_splits(record, arrays, name))
    labels = [record.supernodes[each].label for each in spec.supernodes]
    outside = f", {found.n_outside:,} outside the scope" if found.n_outside else ""
    return CircuitView(
        name=name,
        about=f"{' and '.join(labels)}: {plural(found.n_members, 'feature')}{outside}.",
        facts=(
            ("Ablated otherwise", _scope(record, name)),
            ("Reference", ", ".join(spec.reference)),
            ("Random circuits", f"{found.n_random:,}"),
        ),
        splits=tuple(_split(split, scores, record) for split, scores in seen.items()),
        curve=_curve(record, name, found, seen),
        notes=found.notes,
    )


def _scope(record: Record, name: str) -> str:
    scope = record.hypothesis.studies_of(CircuitSpec)[name].within
    at = "every position" if scope.at is None else f"the span {scope.at}"
    first, last = scope.layers or (0, record.model.n_layers - 1)
    return f"all that the MLPs of layers {first} to {last} write at {at}"


def _splits(record: Record, arrays: Arrays, name: str) -> Iterator[tuple[SplitName, SplitScores]]:
    prompts = record.hypothesis.studies_of(CircuitSpec)[name].prompts
    splits: tuple[tuple[SplitName, bool], ...] = (("discovery", False), ("held out", True))
    for split, held_out in splits:
        mine = [p for p in prompts if record.prompts[p].held_out == held_out]
        if mine:
            yield split, scores_of(record, arrays, name, mine)


def _split(split: SplitName, seen: SplitScores, record: Record) -> CircuitSplit:
    rows = [_row(prompt, scores) for prompt, scores in seen.scores.items()]
    rows += [
        ScoreRow(prompt, (NONE,) * 4, NONE, NONE, problem)
        for prompt, problem in seen.problems.items()
    ]
    if len(seen.scores) > 1:
        rows.append(_row("mean", seen.mean()))
    ranked = sorted(standings(seen, SHARE), key=lambda each: (each.n_ahead, each.distance))
    note = f"The {N_BARS} of {len(ranked)} that do least."
    return CircuitSplit(
        name=split,
        rows=tuple(rows),
        rival=_rival(seen),
        areas=_areas(seen),
        members=Cut(tuple(_bars(seen, ranked[:N_BARS])), note if len(ranked) > N_BARS else ""),
    )


def _row(prompt: str, scores: CircuitScores) -> ScoreRow:
    raw = tuple(number(x) for x in (scores.whole, scores.empty, scores.circuit, scores.rest))
    if too_small(scores):
        return ScoreRow(prompt, raw, NONE, NONE, "invalid: F(M) − F(∅) is too small to divide by")
    faithful, complete = (normalised(x, scores) for x in (scores.circuit, scores.rest))
    return ScoreRow(prompt, raw, number(faithful), number(complete), "")


def _rival(seen: SplitScores) -> str:
    """How near the best random circuit comes, by the means over prompts."""
    if not seen.scores or not seen.arrays["random"].shape[1]:
        return ""
    mean = seen.mean()
    if too_small(mean):
        return ""
    found = [normalised(float(f), mean) for f in seen.arrays["random"].mean(0)]
    return (
        f"Random circuits of the same size: f(C) from {number(min(found))} to "
        f"{number(max(found))}, median {number(float(np.median(found)))}."
    )


def _areas(seen: SplitScores) -> str:
    if not (curve := curve_of(seen)):
        return ""
    cpr, cmd = map(number, areas_of(curve))
    return f"CPR {cpr}, CMD {cmd}"


def _bars(seen: SplitScores, ranked: list[Standing]) -> Iterator[MemberBar]:
    widest = max((each.distance for each in ranked), default=0.0)
    n = seen.arrays["filler"].shape[1] if ranked else 0
    for each in ranked:
        yield MemberBar(
            name=each.name,
            share=each.distance / widest if widest > 0 else 0.0,
            change=f"{each.distance:.2g}",
            ahead=f"{each.n_ahead} of {n}",
        )


def _curve(
    record: Record, name: str, found: CircuitRecord, seen: dict[SplitName, SplitScores]
) -> CurvePlot | None:
    lines = [(split, curve) for split, scores in seen.items() if (curve := curve_of(scores))]
    if not lines:
        return None
    size = float(np.mean([trial.n_features for trial in found.trials.values()]))
    marks = [
        (split, size / found.n_items, normalised(mean.circuit, mean))
        for split, scores in seen.items()
        if curve_of(scores) and not too_small(mean := scores.mean())
    ]
    caption = (
        f"{found.n_items:,} features of the scope, ranked on {', '.join(found.ranked_on)}: "
        f"share k kept, from {percent(SHARES[0])} to all"
    )
    return curve_plot(lines, marks, caption)
