"""The page that lists every run of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracer.errors import UsageError
from tracer.report.index import IndexEntry, UnreadEntry, render_index
from tracer.result import REPORT, Run
from tracer.runs import RunEntry, find_runs, write_text

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


def write_index(path: Path, opened: Sequence[Run]) -> Path:
    """List these runs, in their order."""
    write_text(path, render_index(list(_linked(opened, path.parent))))
    return path


def _linked(opened: Sequence[Run], folder: Path) -> Iterator[IndexEntry]:
    for run in opened:
        page = run.path / REPORT
        href = Path(os.path.relpath(page, folder)).as_posix() if page.exists() else None
        yield IndexEntry(run.record, run.verdict, href)


def _entry(entry: RunEntry, folder: Path) -> IndexEntry | UnreadEntry:
    try:
        run = Run.open(entry.folder)
    except UsageError as error:
        problem = entry.problem or str(error)
        return UnreadEntry(entry.id, entry.hypothesis, entry.started, entry.model, problem)
    return next(_linked([run], folder))
