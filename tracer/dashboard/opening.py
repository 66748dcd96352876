"""Runs as pages open them: found by the id of the listing, cached until their files change.

What cannot be opened comes back as a sentence to show.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from tracer.errors import TracerError, UsageError
from tracer.record.files import FileStamp, file_stamp
from tracer.record.json_model import RECORD
from tracer.record.run_folder import ARRAYS, VERDICT
from tracer.record.runs import RunEntry, find_runs
from tracer.report.render import render
from tracer.report.run import Run
from tracer.report.run_graphs import read_graphs

Stamp = tuple[FileStamp | None, ...]
"""Of each file; None where there is none."""

_FILES = (RECORD, ARRAYS, VERDICT)


def entries(reports: Path) -> dict[str, RunEntry]:
    """Every run by its id, newest first: the only way from an address to a folder."""
    return {entry.id: entry for entry in reversed(find_runs(reports))}


def opened(reports: Path, entry: RunEntry) -> Run | str:
    """The run, or the sentence that says why it cannot be shown."""
    try:
        return _open(str(entry.folder), _stamp(reports, entry.folder, _FILES))
    except (TracerError, OSError, ValueError) as error:
        return str(error)


def report_of(reports: Path, run: Run) -> str:
    """The run's report as HTML, drawn anew from the record: no HTML of a run folder is shown.

    Raises:
        UsageError: A file of the run is a link out of the reports folder.
    """
    # The JSON of a graph names the hash of the tensors beside it.
    graphs = [Path(graph.file).name for graph in run.record.graphs.values()]
    return _report(str(run.path), _stamp(reports, run.path, (*_FILES, *graphs)))


def _stamp(reports: Path, folder: Path, names: Iterable[str]) -> Stamp:
    """Raises UsageError where anything in the folder is a link out of the reports."""
    home = os.path.realpath(reports)
    links = (path for path in folder.rglob("*") if path.is_symlink())
    if not all(Path(os.path.realpath(path)).is_relative_to(home) for path in (folder, *links)):
        raise UsageError("a file of this run is a link out of the reports folder.")
    return tuple(file_stamp(folder / name) for name in names)


@st.cache_resource(max_entries=16, show_spinner=False)
def _open(folder: str, stamp: Stamp) -> Run:
    """`stamp` makes a changed folder another; what is kept is frozen, and only read."""
    return Run.open(folder)


@st.cache_data(max_entries=8, show_spinner=False)
def _report(folder: str, stamp: Stamp) -> str:
    run = Run.open(folder)
    return render(run.record, run.verdict, run.arrays, read_graphs(run.path, run.record))
