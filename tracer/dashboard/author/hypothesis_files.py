"""The texts that a hypothesis can be begun from: the starter, drafts, files, uploads and runs.

Files outside the drafts folder are read and never written; uploads are kept in the session only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tracer.dashboard.author import drafts
from tracer.dashboard.places import Places
from tracer.dashboard.runs.run import shown
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.load import STARTER as STARTER_FILE
from tracer.hypothesis.load import is_hypothesis_file
from tracer.hypothesis.yaml_text import MAX_BYTES, decoded, read_text
from tracer.record.files import path_text
from tracer.record.run_folder import read_record
from tracer.record.runs import RunEntry

STARTER = "starter"
DRAFT, FILE, UPLOAD, RUN = "draft/", "file/", "upload/", "run/"
KEY = "author-upload"
_TEXTS, _PROBLEM = "author-uploads", "author-upload-problem"
_MOST = 10
"""Uploads that a session keeps."""
_LONGEST_NAME = 100
MOST_FILES = 1_000
_DEEPEST = 3
"""Folders below the first one."""


def files(folder: Path, without: Path) -> dict[str, Path]:
    """Every YAML file by its path in the folder; links are none, nor is what lies in `without`."""
    found: dict[str, Path] = {}
    for path in _walk(folder, without, _DEEPEST):
        if len(found) == MOST_FILES:
            break
        found[path_text(path.relative_to(folder))] = path
    return found


def load(folder: Path, without: Path, name: str) -> str:
    """The text of one of `files`.

    Raises:
        UsageError: There is no such file.
        HypothesisError: It is too large, or not UTF-8.
    """
    path = files(folder, without).get(name)
    if path is None:
        raise UsageError(f"there is no hypothesis file {name!r} any more.")
    return read_text(str(path))


def _walk(folder: Path, without: Path, depth: int) -> Iterator[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if not path.is_symlink())
    except OSError:
        return
    yield from (path for path in inside if is_hypothesis_file(path))
    for path in inside:
        hidden = path.name.startswith(".") or path.resolve() == without.resolve()
        if depth and path.is_dir() and not hidden:
            yield from _walk(path, without, depth - 1)


@dataclass(frozen=True)
class Origins:
    """Everything there is to begin from, by its name in an address: `draft/<name>`, `run/<id>`."""

    places: Places
    runs: Mapping[str, RunEntry]
    uploads: Mapping[str, str]
    """Texts by file name."""

    def names(self) -> list[str]:
        """What was made here first, runs last."""
        places = self.places
        return [
            STARTER,
            *(UPLOAD + name for name in self.uploads),
            *(DRAFT + name for name in drafts.names(places.drafts)),
            *(FILE + name for name in files(places.hypotheses, places.drafts)),
            *(RUN + name for name in self.runs),
        ]

    def text_of(self, origin: str) -> str:
        """The text of one of `names`.

        Raises:
            TracerError: It can no longer be read.
        """
        kind, name = _parts(origin)
        if kind == DRAFT:
            return drafts.load(self.places.drafts, name)
        if kind == FILE:
            return load(self.places.hypotheses, self.places.drafts, name)
        if kind == UPLOAD:
            return self.uploads[name]
        if kind == RUN:
            return read_record(self.runs[name].folder).yaml
        return STARTER_FILE.read_text(encoding="utf-8")

    def file_of(self, origin: str) -> str:
        """The file that its mistakes are told of."""
        kind, name = _parts(origin)
        if kind == DRAFT:
            return str(relative(drafts.path_of(self.places.drafts, name)))
        if kind == FILE:
            return str(relative(self.places.hypotheses / name))
        if kind == UPLOAD:
            return name
        return "hypothesis.yaml"


def relative(path: Path) -> Path:
    """As a command in the working directory names it."""
    try:
        return Path(os.path.relpath(path))
    except ValueError:  # another drive
        return path


def _parts(origin: str) -> tuple[str, str]:
    kind = next((each for each in (DRAFT, FILE, UPLOAD, RUN) if origin.startswith(each)), "")
    return kind, origin.removeprefix(kind)


def uploads() -> dict[str, str]:
    """The session's uploads by file name, newest first."""
    return st.session_state.setdefault(_TEXTS, {})


def upload_panel(key: str, prefix: str) -> None:
    """Draw the place to drop a file; the widget `key` then chooses it, as `prefix` and its name."""
    with st.expander("Upload a file"):
        st.file_uploader(
            "Hypothesis file to upload",
            ["yaml", "yml"],
            key=KEY,
            max_upload_size=MAX_BYTES >> 20,
            on_change=_take,
            args=(key, prefix),
            help="It is checked as any file; nothing is saved until you save it as a draft.",
        )
    if problem := st.session_state.get(_PROBLEM):
        st.text(shown(problem))


def _take(key: str, prefix: str) -> None:
    st.session_state.pop(_PROBLEM, None)
    file = cast(UploadedFile | None, st.session_state.get(KEY))
    if file is None:
        return
    told = shown(file.name, _LONGEST_NAME)
    try:
        text = decoded(told, file.getvalue())
    except HypothesisError as error:
        st.session_state[_PROBLEM] = f"Not opened: {error}"
        return
    before = uploads()
    names = [told, *(f"{told} ({n})" for n in range(2, len(before) + 3))]
    name = next(each for each in names if each not in before)
    st.session_state[_TEXTS] = dict([(name, text), *before.items()][:_MOST])
    st.session_state[key] = prefix + name
