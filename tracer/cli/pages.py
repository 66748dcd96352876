"""Pages of all runs in a folder: a list, where each hypothesis holds, and the library.

Each is made from the run folders alone, so it can be written wherever they were gathered. Each is
replaced in one step, and the last process that writes one is the one that saw most.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tracer.cli.library import without_words
from tracer.errors import UsageError
from tracer.record.family import FAMILY, read_family
from tracer.record.files import write_text
from tracer.record.runs import RunEntry, entry_of, find_runs
from tracer.report.index import IndexEntry, UnreadEntry, render_index
from tracer.report.library import OF_RUNS, LibraryEntry, render_library
from tracer.report.matrix import CombinationResult, Matrix, is_page_name, page_path
from tracer.report.run import REPORT, Run

INDEX = "index.html"
LIBRARY = "library.md"


def is_page(name: str) -> bool:
    """Whether a file of this name is one of these pages."""
    return name in (INDEX, LIBRARY, FAMILY) or is_page_name(name)


class UnopenedRun(NamedTuple):
    """A run that cannot be opened, and the sentence that says why."""

    entry: RunEntry
    problem: str

    @property
    def page(self) -> Path:
        """The file of the run's own page, which may not exist."""
        return self.entry.folder / REPORT

    def listed(self, href: str | None = None) -> UnreadEntry:
        """The run as a list of runs shows it."""
        run = self.entry
        return UnreadEntry(run.id, run.hypothesis, run.started, run.model, self.problem, href)


def opened_run(folder: Path) -> Run | UnopenedRun:
    """A run of any folder."""
    try:
        return Run.open(folder)
    except UsageError as error:
        return UnopenedRun(entry_of(folder)._replace(folder=folder), str(error))


def write_index_of_all(reports: Path) -> Path:
    """List every run of a folder, newest first, those that cannot be read with the reason.

    Raises:
        OSError: The page cannot be written.
    """
    return _write_index(reports, _all_runs(reports))


def write_pages_of_all(reports: Path) -> Iterator[Path]:
    """The index, a page for each hypothesis that was run on several models, and the library.

    Raises:
        OSError: A page cannot be written.
    """
    found = _all_runs(reports)
    yield _write_index(reports, found)
    by_name: dict[str, list[Run]] = {}
    for run in found:
        if isinstance(run, Run):
            by_name.setdefault(run.record.hypothesis.hypothesis, []).append(run)
    by_name = dict(sorted(by_name.items()))
    for name, runs in by_name.items():
        cases = _newest(runs)
        if len(cases) > 1:
            yield Matrix(tuple(cases)).page(page_path(reports, name))
    entries = [each for runs in by_name.values() for each in _library_entries(runs, reports)]
    write_text(reports / LIBRARY, render_library(entries, OF_RUNS))
    yield reports / LIBRARY


def _all_runs(reports: Path) -> list[Run | UnopenedRun]:
    """Every run, newest first, without its tensors."""
    found: list[Run | UnopenedRun] = []
    for entry in reversed(find_runs(reports)):
        run = opened_run(entry.folder)
        if isinstance(run, UnopenedRun):
            found.append(UnopenedRun(entry, entry.problem or run.problem))
        else:
            found.append(replace(run, arrays={}))
    return found


def _write_index(reports: Path, runs: Sequence[Run | UnopenedRun]) -> Path:
    path, family, note = reports / INDEX, None, None
    try:
        family = read_family(reports)
    except UsageError as error:
        note = str(error)
    entries = [listed_run(run, reports) for run in runs]
    write_text(path, render_index(entries, family, note))
    return path


def _newest(runs: Sequence[Run]) -> list[CombinationResult]:
    """Of what the newest run declares: the newest run on each model with each basis, by name."""
    found: dict[tuple[str, str], CombinationResult] = {}
    declared = without_words(runs[0].record.hypothesis)
    for run in runs:
        hypothesis = run.record.hypothesis
        own = without_words(hypothesis).model_copy(update={"features": declared.features})
        case = (hypothesis.model_spec.name, hypothesis.features)
        if own == declared and case not in found:
            found[case] = CombinationResult(hypothesis.hypothesis, *case, run)
    return [found[case] for case in sorted(found)]


def _library_entries(runs: Sequence[Run], folder: Path) -> Iterator[LibraryEntry]:
    """A row for each combination of what the newest run declares."""
    for case in _newest(runs):
        assert case.run is not None
        record, entry = case.run.record, entry_of(case.run.path)
        yield LibraryEntry(
            hypothesis=record.hypothesis,
            href=_href(Path(record.file), folder),
            run=entry._replace(verdict=case.run.verdict.verdict),
            report=_href(case.run.path / REPORT, folder),
        )


def listed_run(run: Run | UnopenedRun, folder: Path) -> IndexEntry | UnreadEntry:
    """The run as a page in a folder lists it."""
    if isinstance(run, UnopenedRun):
        return run.listed(_href(run.page, folder))
    return IndexEntry(run.record, run.verdict, _href(run.path / REPORT, folder))


def _href(page: Path, folder: Path) -> str | None:
    return Path(os.path.relpath(page, folder)).as_posix() if page.exists() else None
