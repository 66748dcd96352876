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


@dataclass(frozen=True)
class IndexEntry:
    """A run and where its report lies."""

    record: Record
    verdict: Verdict
    href: str
    """Path of the report, relative to the index."""


@dataclass(frozen=True)
class IndexRow:
    """A run as a row."""

    name: str
    run: str
    href: str
    claim: str
    verdict: VerdictView
    effects: tuple[tuple[str, str], ...]
    model: str
    when: str


@dataclass(frozen=True)
class Index:
    """The whole page."""

    counts: tuple[Count, ...]
    rows: tuple[IndexRow, ...]


def render_index(entries: Sequence[IndexEntry]) -> str:
    """Several runs as one HTML page, in the order given."""
    index = Index(
        counts=count(VERDICTS, [entry.verdict.verdict for entry in entries]),
        rows=tuple(_row(entry) for entry in entries),
    )
    return fill_template("index.html.j2", index=index)


def _row(entry: IndexEntry) -> IndexRow:
    record = entry.record
    return IndexRow(
        name=record.hypothesis.hypothesis,
        run=record.id,
        href=quote(entry.href, safe="/"),
        claim=entry.verdict.claim,
        verdict=verdict_view(entry.verdict),
        effects=_effects(record),
        model=f"{record.model.name}, {record.basis}",
        when=record.started.replace("T", " ").removesuffix("Z")[:16],
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
