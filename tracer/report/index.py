"""The front page of several runs: one row each, with a link to its report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tracer.evidence.bench import JudgedOutcomes
from tracer.evidence.verdict import Verdict
from tracer.record import Record
from tracer.report.limits import Cut, cut
from tracer.report.render import fill_template
from tracer.report.summaries import InterventionSummary, intervention_summary
from tracer.report.views import VERDICTS, Count, VerdictView, count, verdict_view

MAX_EFFECTS = 12
"""Interventions of one run."""
UNREAD, UNREAD_ICON = "unread", "–"
"""Of a run that is still being measured, or whose files cannot be read."""


@dataclass(frozen=True)
class IndexEntry:
    """A run and where its report lies."""

    record: Record
    verdict: Verdict
    href: str | None
    """Path of the report, relative to the index; None where it was not written."""


@dataclass(frozen=True)
class UnreadEntry:
    """A run that cannot be shown, and why."""

    run: str
    hypothesis: str
    started: str | None
    model: str | None
    problem: str
    href: str | None = None
    """Of a page that lies in its folder all the same, as of an older tracer's report."""


@dataclass(frozen=True)
class IndexRow:
    """A run as a row."""

    name: str
    run: str
    href: str | None
    """None where there is no report."""
    claim: str
    kind: str
    icon: str
    verdict: VerdictView | None
    effects: Cut[tuple[str, str]]
    tags: str
    model: str
    when: str


@dataclass(frozen=True)
class Index:
    """The whole page."""

    counts: tuple[Count, ...]
    rows: tuple[IndexRow, ...]


def render_index(entries: Sequence[IndexEntry | UnreadEntry]) -> str:
    """Several runs as one HTML page, in the order given."""
    rows = tuple(
        _row(entry) if isinstance(entry, IndexEntry) else _unread(entry) for entry in entries
    )
    kinds = [row.kind for row in rows]
    shown = VERDICTS | ({UNREAD: UNREAD_ICON} if UNREAD in kinds else {})
    return fill_template("index.html.j2", index=Index(counts=count(shown, kinds), rows=rows))


def _unread(entry: UnreadEntry) -> IndexRow:
    return IndexRow(
        name=entry.hypothesis,
        run=entry.run,
        href=_link(entry.href),
        claim=entry.problem,
        kind=UNREAD,
        icon=UNREAD_ICON,
        verdict=None,
        effects=Cut((), ""),
        tags="",
        model=entry.model or "–",
        when=_when(entry.started or "–"),
    )


def _link(href: str | None) -> str | None:
    return None if href is None else quote(os.fsencode(href), safe="/")


def _when(started: str) -> str:
    return started.replace("T", " ").removesuffix("Z")[:16]


def _row(entry: IndexEntry) -> IndexRow:
    record = entry.record
    return IndexRow(
        kind=entry.verdict.verdict,
        icon=VERDICTS[entry.verdict.verdict],
        tags=", ".join(record.hypothesis.tags),
        name=record.hypothesis.hypothesis,
        run=record.id,
        href=_link(entry.href),
        claim=entry.verdict.claim,
        verdict=verdict_view(entry.verdict),
        effects=_effects(record),
        model=f"{record.model.name}, {record.basis}",
        when=_when(record.started),
    )


def _effects(record: Record) -> Cut[tuple[str, str]]:
    """The interventions' median effects, held-out prompts where there are any."""
    names = [name for name in record.interventions if name in record.hypothesis.interventions]
    shown = cut(names, MAX_EFFECTS, "interventions", "its report and run.json")
    unjudged = JudgedOutcomes(record.hypothesis)
    summaries = (intervention_summary(record, name, {}, unjudged) for name in shown.kept)
    effects = map(_effect, summaries)
    return Cut(tuple(each for each in effects if each is not None), shown.told)


def _effect(summary: InterventionSummary) -> tuple[str, str] | None:
    told = summary.held_out or summary.discovery
    return (f"{summary.name}: {summary.measure}", told.effect) if told and told.effect else None
