"""The first screen's table: everything that was tested, discovery beside held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.hypothesis.robustness import ROBUSTNESS
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.graph import GRAPH
from tracer.record.record import Record
from tracer.record.verdict import Outcome, by_intervention
from tracer.report.effects import SplitSummary
from tracer.report.sections.interventions import InterventionView
from tracer.report.text import plural

VERDICTS = {"confirmed": "✔", "refuted": "✖", "inconclusive": "?", "error": "!"}
OUTCOMES = {"held": "✔", "failed": "✖", "untested": "?"}


@dataclass(frozen=True)
class Count:
    """How many expectations came out one way; a filter button."""

    name: str
    icon: str
    n: int


@dataclass(frozen=True)
class SplitCell:
    """One intervention on one split, on the first screen."""

    counts: tuple[Count, ...]
    summary: SplitSummary | None
    prompts: str
    observed: str
    """Of the first expectation, where there is no summary of outputs."""


@dataclass(frozen=True)
class OverviewRow:
    """What was tested, on the first screen, discovery beside held out."""

    name: str
    anchor: str
    """The id of the part of the page that tells more."""
    clamps: tuple[tuple[str, str], ...]
    measure: str | None
    discovery: SplitCell | None
    held_out: SplitCell | None


def overview_rows(
    record: Record, views: Sequence[InterventionView], outcomes: Sequence[Outcome]
) -> tuple[OverviewRow, ...]:
    """Interventions that are drawn first, then whatever else was judged, in the file's order.

    What is expected of variations is told under the table.
    """
    of = by_intervention(outcomes)
    rows = [
        _intervention(record, n, view, of.get(view.name, ()))
        for n, view in enumerate(views, start=1)
    ]
    named = {ROBUSTNESS, *record.hypothesis.interventions}
    others = {name: mine for name, mine in of.items() if name not in named}
    return (*rows, *(_other(record.hypothesis, name, mine) for name, mine in others.items()))


def count(icons: dict[str, str], names: Sequence[str]) -> tuple[Count, ...]:
    """How often each name occurs, in the icons' order."""
    found = Counter(names)
    return tuple(Count(name, icon, found[name]) for name, icon in icons.items())


def _intervention(
    record: Record, number: int, view: InterventionView, mine: Sequence[Outcome]
) -> OverviewRow:
    """An intervention, whether or not anything is expected of it."""
    trials = record.interventions[view.name].trials
    cells = {
        held_out: _split_cell(
            [o.outcome for o in mine if (o.split == "held out") == held_out],
            view.held_out if held_out else view.discovery,
            [name for name in trials if record.prompts[name].held_out == held_out],
        )
        for held_out in (False, True)
    }
    return OverviewRow(
        name=view.name,
        anchor=f"i-{number}",
        clamps=tuple((clamp.label, clamp.pill) for clamp in view.clamps),
        measure=view.measure,
        discovery=cells[False],
        held_out=cells[True],
    )


def _split_cell(
    outcomes: Sequence[str], summary: SplitSummary | None, prompts: Sequence[str]
) -> SplitCell | None:
    if not prompts:
        return None
    counts = tuple(c for c in count(OUTCOMES, outcomes) if c.n)
    return SplitCell(counts, summary, plural(len(prompts), "prompt"), observed="")


def _other(declared: Hypothesis, name: str, outcomes: Sequence[Outcome]) -> OverviewRow:
    """A study, a circuit or the graph: what was found of its first expectation."""
    cells = {
        split: _told([o for o in outcomes if o.split == split])
        for split in ("discovery", "held out")
    }
    return OverviewRow(
        name=name,
        anchor=_anchor(declared, name),
        clamps=(),
        measure=outcomes[0].expectation,
        discovery=cells["discovery"],
        held_out=cells["held out"],
    )


def _told(outcomes: Sequence[Outcome]) -> SplitCell | None:
    if not outcomes:
        return None
    counts = tuple(c for c in count(OUTCOMES, [o.outcome for o in outcomes]) if c.n)
    n_tests = plural(len(outcomes[0].prompts), "test")
    return SplitCell(counts, None, n_tests, observed=outcomes[0].observed)


def _anchor(declared: Hypothesis, name: str) -> str:
    if name == GRAPH:
        return "h-graphs"
    if name in declared.circuit:
        return "h-circuits"
    if name in declared.shared:
        return "h-shared"
    studies = (declared.necessity, declared.mediation, declared.swaps)
    return "h-studies" if any(name in study for study in studies) else "h-expectations"
