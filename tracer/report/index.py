"""The front page of several runs: one row each, with a link to its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tracer.evidence.verdict import Verdict
from tracer.record import Record
from tracer.report.interventions import intervention_view
from tracer.report.render import fill_template
from tracer.report.views import VERDICTS, Count, VerdictView, count, verdict_view

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
    effects: tuple[tuple[str, str], ...]
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
        href=None,
        claim=entry.problem,
        kind=UNREAD,
        icon=UNREAD_ICON,
        verdict=None,
        effects=(),
        tags="",
        model=entry.model or "–",
        when=_when(entry.started or "–"),
    )


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
        href=None if entry.href is None else quote(entry.href, safe="/"),
        claim=entry.verdict.claim,
        verdict=verdict_view(entry.verdict),
        effects=_effects(record),
        model=f"{record.model.name}, {record.basis}",
        when=_when(record.started),
    )


def _effects(record: Record) -> tuple[tuple[str, str], ...]:
    """Each intervention's median effect, held-out prompts where there are any."""
    views = [
        intervention_view(record, name, {})
        for name in record.interventions
        if name in record.hypothesis.interventions
    ]
    summaries = [(view, view.held_out or view.discovery) for view in views]
    return tuple(
        (f"{view.name}: {view.measure}", told.effect)
        for view, told in summaries
        if told is not None and told.effect
    )
