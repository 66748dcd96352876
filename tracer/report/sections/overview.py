"""The first screen: what was tested, discovery beside held out, and what to be careful about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.hypothesis.robustness import ROBUSTNESS
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import CircuitSpec
from tracer.hypothesis.studies.graph import GRAPH
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.hypothesis.studies.study import Study
from tracer.record.record import Record
from tracer.record.verdict import SPLITS, Outcome, SplitName, Verdict, by_intervention
from tracer.report.headline import Count, split_counts, verdict_view
from tracer.report.limits import MAX_NOTES, Cut, cut
from tracer.report.sections.graphs import contradicted
from tracer.report.sections.interventions import InterventionView
from tracer.report.sections.robustness import robustness_view
from tracer.report.summaries import SplitSummary
from tracer.report.text import plural


@dataclass(frozen=True)
class SplitCell:
    """What was tested on one split."""

    counts: tuple[Count, ...]
    summary: SplitSummary | None
    prompts: str
    observed: str = ""
    """Of the first expectation, where there is no summary of outputs."""


@dataclass(frozen=True)
class OverviewRow:
    """What was tested, discovery beside held out."""

    name: str
    anchor: str
    """The id of the part of the page that tells more."""
    clamps: tuple[tuple[str, str], ...]
    measure: str | None
    discovery: SplitCell | None
    held_out: SplitCell | None


@dataclass(frozen=True)
class Overview:
    """The whole first screen under the headline."""

    rows: tuple[OverviewRow, ...]
    undrawn: str
    """How many more interventions there are than the page draws; empty where it draws all."""
    robustness: str | None
    headline: str
    """Of what was changed afterwards."""
    post_hoc: Cut[str]
    caveats: Cut[str]


def overview(record: Record, verdict: Verdict, drawn: Cut[InterventionView]) -> Overview:
    """What was tested and what to be careful about."""
    robustness = robustness_view(verdict.robustness)
    signs = (each for prompt in record.graphs for each in contradicted(record, prompt))
    caveats = list(dict.fromkeys((*signs, *verdict.caveats, *record.notes, *record.lock_notes)))
    return Overview(
        rows=overview_rows(record, drawn.kept, verdict.outcomes),
        undrawn=drawn.note,
        robustness=robustness.sentence if robustness else None,
        headline=verdict_view(verdict).post_hoc,
        post_hoc=cut(verdict.post_hoc, MAX_NOTES, "changes", "verdict.json"),
        caveats=cut(caveats, MAX_NOTES, "remarks", "verdict.json and run.json"),
    )


def overview_rows(
    record: Record, views: Sequence[InterventionView], outcomes: Sequence[Outcome]
) -> tuple[OverviewRow, ...]:
    """What failed in the first rows; interventions that are drawn, then what else was judged.

    What is expected of variations stands under the table.
    """
    of = by_intervention(outcomes)
    failed = {name for name, mine in of.items() if any(o.outcome == "failed" for o in mine)}
    rows = [
        _intervention(record, n, view, of.get(view.name, ()))
        for n, view in enumerate(views, start=1)
    ]
    named = {ROBUSTNESS, *record.hypothesis.interventions}
    others = {name: mine for name, mine in of.items() if name not in named}
    rows += [_other(record.hypothesis, name, mine) for name, mine in others.items()]
    return tuple(sorted(rows, key=lambda row: row.name not in failed))


def _intervention(
    record: Record, number: int, view: InterventionView, mine: Sequence[Outcome]
) -> OverviewRow:
    """An intervention, whether or not anything is expected of it."""
    held_out = [record.prompts[name].held_out for name in record.interventions[view.name].trials]
    counts = dict(split_counts(mine))
    cells = {
        split: SplitCell(counts.get(split, ()), summary, plural(n, "prompt")) if n else None
        for split, n, summary in zip(
            SPLITS,
            (held_out.count(False), held_out.count(True)),
            (view.discovery, view.held_out),
            strict=True,
        )
    }
    return OverviewRow(
        name=view.name,
        anchor=f"i-{number}",
        clamps=tuple((clamp.label, clamp.pill) for clamp in view.clamps),
        measure=view.measure,
        discovery=cells["discovery"],
        held_out=cells["held out"],
    )


def _other(declared: Hypothesis, name: str, outcomes: Sequence[Outcome]) -> OverviewRow:
    """A study, a circuit or the graph: what was found of its first expectation."""
    return OverviewRow(
        name=name,
        anchor=_anchor(declared, name),
        clamps=(),
        measure=outcomes[0].expectation,
        discovery=_first_observed(outcomes, "discovery"),
        held_out=_first_observed(outcomes, "held out"),
    )


def _first_observed(outcomes: Sequence[Outcome], split: SplitName) -> SplitCell | None:
    first = next((o for o in outcomes if o.split == split), None)
    if first is None:
        return None
    n_tests = plural(len(first.prompts), "test")
    return SplitCell(dict(split_counts(outcomes))[split], None, n_tests, first.observed)


_OWN_SECTIONS: dict[type[Study], str] = {CircuitSpec: "h-circuits", SharedSpec: "h-shared"}


def _anchor(declared: Hypothesis, name: str) -> str:
    if name == GRAPH:
        return "h-graphs"
    kind = next(
        (type(study) for study_name, study in declared.studies() if study_name == name), None
    )
    return "h-expectations" if kind is None else _OWN_SECTIONS.get(kind, "h-studies")
