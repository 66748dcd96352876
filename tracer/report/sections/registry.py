"""The parts of a run's report in the order of the page.

A section is a view made of a run's data and the template `sections/NAME.html.j2`, which reads it as
`view`. To add one, write these two files and name it in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from tracer.evidence.context import JudgedOutcomes
from tracer.record.arrays import Arrays
from tracer.record.cross_basis import CrossBasis
from tracer.record.record import Record
from tracer.record.verdict import Verdict
from tracer.report.graph_consensus import graph_consensus
from tracer.report.limits import Cut, quota_of, select_interventions
from tracer.report.run_graphs import InlineGraph, RunGraphs, pack
from tracer.report.sections.bases import across_view
from tracer.report.sections.circuits import circuit_views
from tracer.report.sections.code import code_views
from tracer.report.sections.expectations import expectations_view
from tracer.report.sections.graphs import GraphsView, graph_views
from tracer.report.sections.interventions import InterventionView, intervention_view
from tracer.report.sections.overview import overview
from tracer.report.sections.prompts import PromptsView, prompt_views
from tracer.report.sections.provenance import provenance
from tracer.report.sections.robustness import robustness_view
from tracer.report.sections.shared import shared_views
from tracer.report.sections.studies import study_views
from tracer.report.sections.supernodes import supernode_views
from tracer.report.sections.texts import text_views


@dataclass(frozen=True)
class ReportData:
    """What a report is made of, and what several of its sections share."""

    record: Record
    verdict: Verdict
    arrays: Arrays
    graphs: RunGraphs = field(default_factory=RunGraphs)
    bases: CrossBasis | None = None
    """The run beside those in other bases, where there are such."""

    @cached_property
    def interventions(self) -> Cut[InterventionView]:
        """The interventions that the page draws."""
        record = self.record
        selected = select_interventions(record, self.verdict.outcomes)
        judged = JudgedOutcomes(record.hypothesis, self.verdict.outcomes)
        quota = quota_of(len(selected.kept))
        views = (intervention_view(record, n, self.arrays, judged, quota) for n in selected.kept)
        return Cut(tuple(views), selected.note)

    @cached_property
    def inline_graphs(self) -> tuple[InlineGraph, ...]:
        """The graphs that the page itself carries."""
        return pack(self.record, self.graphs)


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    name: str
    """Of its template."""
    title: str
    """In the contents."""
    anchor: str
    """The id of its heading."""
    view: Callable[[ReportData], object]
    """What the template shows; None leaves the section out."""

    @property
    def template(self) -> str:
        """The file beside this one."""
        return f"{self.name}.html.j2"


def _graphs(data: ReportData) -> GraphsView | None:
    found = graph_views(data.record)
    if not found:
        return None
    shared = graph_consensus(data.record, data.verdict.outcomes)
    return GraphsView(found, shared, data.inline_graphs, data.graphs.problems)


SECTIONS = (
    Section(
        "overview",
        "Did it hold?",
        "h-glance",
        lambda data: overview(data.record, data.verdict, data.interventions),
    ),
    Section(
        "studies",
        "Studies",
        "h-studies",
        lambda data: study_views(data.record, data.verdict) or None,
    ),
    Section("interventions", "Circuit", "h-circuit", lambda data: data.interventions.kept or None),
    Section(
        "expectations",
        "Expectations",
        "h-expect",
        lambda data: expectations_view(data.verdict.outcomes),
    ),
    Section("code", "Python", "h-code", lambda data: code_views(data.record.hypothesis) or None),
    Section("controls", "Controls", "h-controls", lambda data: data.interventions.kept or None),
    Section(
        "doses",
        "Doses",
        "h-doses",
        lambda data: [v for v in data.interventions.kept if v.doses] or None,
    ),
    Section(
        "prompts",
        "Prompts",
        "h-prompts",
        lambda data: PromptsView(data.interventions.kept, prompt_views(data.record)),
    ),
    Section("texts", "Texts", "h-texts", lambda data: text_views(data.record) or None),
    Section(
        "shared", "Shared", "h-shared", lambda data: shared_views(data.record, data.arrays) or None
    ),
    Section("graphs", "Graph", "h-graphs", _graphs),
    Section(
        "circuits",
        "Ablated circuits",
        "h-circuits",
        lambda data: circuit_views(data.record, data.arrays) or None,
    ),
    Section(
        "robustness",
        "Robustness",
        "h-robustness",
        lambda data: robustness_view(data.verdict.robustness),
    ),
    Section("bases", "Other bases", "h-bases", lambda data: across_view(data.bases)),
    Section("supernodes", "Supernodes", "h-super", lambda data: supernode_views(data.record)),
    Section("provenance", "Provenance", "h-from", lambda data: provenance(data.record)),
)
