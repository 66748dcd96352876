"""What it takes to judge a kind of study, and what a report shows of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from tracer.evidence.conclusion import Group, Judged
from tracer.evidence.context import JudgingContext
from tracer.hypothesis.studies.study import Study
from tracer.record.record import Record
from tracer.record.verdict import Verdict

Kind = TypeVar("Kind", bound=Study)


class Cell(NamedTuple):
    """A cell of a table."""

    text: str
    title: str = ""
    """Told of it where a reader asks."""
    shade: int | None = None
    """From 0, nothing succeeded, to 4, everything did; None where the cell is not shaded."""
    said: str = ""
    """The token that came first most often, spaces visible; empty where none is told."""


class StudyRow(NamedTuple):
    """A row of a table; a cell that has no meaning is None."""

    heading: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class StudyTable:
    """What a report shows of a study."""

    subject: str
    """Stands beside the study's name: 'without Texas'."""
    caption: str
    columns: tuple[str, ...]
    """The first is that of the rows' headings."""
    rows: tuple[StudyRow, ...]
    note: str = ""
    failures: tuple[str, ...] = ()
    """What failed, a line each."""


@dataclass(frozen=True)
class StudyEvidence(Generic[Kind]):
    """How the studies of one kind are judged and shown."""

    kind: type[Kind]
    judge: Callable[[JudgingContext, str, Kind], Iterator[Judged]]
    """The outcomes of one study, by its name."""
    tables: Callable[[Record, Verdict, str, Kind], Iterator[StudyTable]] | None = None
    """None where a section of the report is its own."""
    lacks: Callable[[JudgingContext, str, Kind, Sequence[Group]], Iterator[str]] | None = None
    """What one whose expectations all held lacks to be confirmed, a clause each.

    None where nothing is compared with matched controls, so that it is *consistent* at best.
    """
