"""Pages of several runs and of broken ones: the list of a folder, and why a run cannot be shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracer.errors import UsageError
from tracer.report.index import IndexEntry, UnreadEntry, render_index
from tracer.report.unread import render_unread
from tracer.result import REPORT, Run
from tracer.runs import RunEntry, entry_of, find_runs, write_text
from tracer.salvage import salvage

INDEX = "index.html"


def write_index_of_all(reports: Path) -> Path:
    """List every run of a folder, newest first, those that cannot be read with the reason.

    Raises:
        OSError: The page cannot be written.
    """
    entries = [_entry(each, reports) for each in reversed(find_runs(reports))]
    path = reports / INDEX
    write_text(path, render_index(entries))
    return path


@dataclass(frozen=True)
class Unread:
    """A run that cannot be opened."""

    folder: Path
    problem: str

    @property
    def entry(self) -> UnreadEntry:
        """It as a list of runs has it."""
        told = entry_of(self.folder)
        return UnreadEntry(told.id, told.hypothesis, told.started, told.model, self.problem)

    @property
    def page(self) -> Path:
        """Where its own page lies, or would."""
        return self.folder / REPORT

    def write(self, path: Path) -> Path:
        """Write the page that says what is wrong, and what can be done.

        Raises:
            OSError: It cannot be written.
        """
        status = entry_of(self.folder).status
        write_text(path, render_unread(self.entry, status, salvage(self.folder)))
        return path


def open_or_say(folder: Path) -> Run | Unread:
    """The run of a folder, or the sentence that says why it cannot be shown."""
    try:
        return Run.open(folder)
    except UsageError as error:
        return Unread(folder, str(error))


def write_index(path: Path, opened: Sequence[Run | Unread]) -> Path:
    """List these runs, in their order."""
    write_text(path, render_index([_listed(run, path.parent) for run in opened]))
    return path


def _listed(run: Run | Unread, folder: Path) -> IndexEntry | UnreadEntry:
    if isinstance(run, Unread):
        return replace(run.entry, href=_href(run.page, folder))
    return IndexEntry(run.record, run.verdict, _href(run.path / REPORT, folder))


def _href(page: Path, folder: Path) -> str | None:
    return Path(os.path.relpath(page, folder)).as_posix() if page.exists() else None


def _entry(entry: RunEntry, folder: Path) -> IndexEntry | UnreadEntry:
    found = open_or_say(entry.folder)
    if isinstance(found, Run):
        return _listed(found, folder)
    problem, href = entry.problem or found.problem, _href(found.page, folder)
    return UnreadEntry(entry.id, entry.hypothesis, entry.started, entry.model, problem, href)
