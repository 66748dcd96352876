"""Runs as pages open them: by an id of the listing, kept in memory until their files change.

Nothing is raised to a page: what cannot be opened is a sentence to show.
"""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from tracer.errors import TracerError
from tracer.result import Run
from tracer.runs import ARRAYS, RECORD, VERDICT, RunEntry, find_runs

Stamp = tuple[tuple[str, int, int] | None, ...]
"""Real path, modification time and size of each file; None where there is none."""

_FILES = (RECORD, ARRAYS, VERDICT)


def entries(reports: Path) -> dict[str, RunEntry]:
    """Every run by its id, newest first: the only way from an address to a folder."""
    return {entry.id: entry for entry in reversed(find_runs(reports))}


def opened(reports: Path, entry: RunEntry) -> Run | str:
    """The run, or the sentence that says why it cannot be shown."""
    home = os.path.realpath(reports)
    stamp = tuple(_stamp(entry.folder / name) for name in _FILES)
    if not all(Path(found[0]).is_relative_to(home) for found in stamp if found):
        return f"{entry.id}: a file of this run is a link out of the reports folder."
    try:
        return _open(str(entry.folder), stamp)
    except TracerError as error:
        return str(error)
    except OSError as error:
        return f"{entry.id}: {error.strerror or error}."


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return os.path.realpath(path), found.st_mtime_ns, found.st_size


@st.cache_resource(max_entries=16, show_spinner=False)
def _open(folder: str, stamp: Stamp) -> Run:
    """Run folders are only read here; `stamp` makes a changed one another."""
    return Run.open(folder)
