"""The studies of a run as tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracer.evidence.studies.registry import STUDIES
from tracer.evidence.studies.study import StudyTable
from tracer.record.record import Record
from tracer.record.verdict import Verdict
from tracer.report.limits import MAX_FAILURES, Cut, cut


@dataclass(frozen=True)
class TableView:
    """One table, and what failed in it as far as it is listed."""

    table: StudyTable
    failures: Cut[str]


@dataclass(frozen=True)
class StudyView:
    """One study."""

    name: str
    tables: tuple[TableView, ...]


def study_views(record: Record, verdict: Verdict) -> tuple[StudyView, ...]:
    """The studies that have tables, kind by kind."""
    return tuple(_studies(record, verdict))


def _studies(record: Record, verdict: Verdict) -> Iterator[StudyView]:
    for evidence in STUDIES:
        if evidence.tables is None:
            continue
        for name, study in record.hypothesis.studies_of(evidence.kind).items():
            tables = evidence.tables(record, verdict, name, study)
            yield StudyView(name, tuple(map(_view, tables)))


def _view(table: StudyTable) -> TableView:
    return TableView(table, cut(table.failures, MAX_FAILURES, "failures", "verdict.json"))
