"""A run's report as its template reads it: the head of the page, then the sections in order."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.record.record import Record
from tracer.record.verdict import Verdict
from tracer.report.headline import VerdictView, safe_link, verdict_view
from tracer.report.run_graphs import InlineGraph
from tracer.report.sections.registry import SECTIONS, ReportData


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    claim: str
    source: str | None
    link: str | None
    """The source as an address, where it is one."""
    facts: tuple[str, ...]
    verdict: VerdictView
    sections: tuple[tuple[str, object], ...]
    """Template and view of each section that has something to show."""
    inline_graphs: tuple[InlineGraph, ...]


def page_view(data: ReportData) -> Page:
    """Everything the report says, ready to be written out."""
    hypothesis = data.record.hypothesis
    views = ((section.template, section.view(data)) for section in SECTIONS)
    return Page(
        title=hypothesis.hypothesis,
        claim=data.verdict.claim,
        source=hypothesis.source,
        link=safe_link(hypothesis.source),
        facts=_facts(data.record, data.verdict),
        verdict=verdict_view(data.verdict),
        sections=tuple((template, view) for template, view in views if view is not None),
        inline_graphs=data.inline_graphs,
    )


def _facts(record: Record, verdict: Verdict) -> tuple[str, ...]:
    model = record.model
    started = record.started.replace("T", " ").removesuffix("Z")[:16] + " UTC"
    facts = (model.name, f"{record.basis} basis", f"{model.dtype} on {model.device}", started)
    if verdict.registered is not None:
        facts = (*facts, f"registered {verdict.registered.at.replace('T', ' ')[:16]} UTC")
    return facts if record.status == "complete" else (*facts, "still measuring")
