"""The runs folder: `<root>/<hypothesis>/<UTC timestamp>-<6 hex of the fingerprint>/`.

Finding never leaves the root: a link that points out of it is not followed. A run's own files are
read and written by `tracer.record.run_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel

from tracer.errors import UsageError, unknown
from tracer.hypothesis.spec import Expected
from tracer.record.files import RECORD, FileStamp, bytes_of, file_stamp, path_text, read_model
from tracer.record.record import SCHEMA, Record
from tracer.record.run_folder import (
    VERDICT,
    VERDICT_SCHEMA,
    is_edited,
    is_run,
    observed,
    record_of,
    write,
)
from tracer.record.seal import is_as_written
from tracer.record.verdict import VerdictName, is_as_expected

LATEST = "latest"
Status = Literal["measuring", "complete"]


class RunEntry(NamedTuple):
    """One run in a list; what could not be read is None, and `problem` says why."""

    id: str
    """`<hypothesis>/<timestamp>-<hex>`: where it lies under the root, as text that is UTF-8."""
    folder: Path
    hypothesis: str
    started: str | None
    status: Status | None
    fingerprint: str | None
    model: str | None
    verdict: VerdictName | None
    """None also where nothing was judged yet."""
    as_expected: bool | None
    problem: str | None
    claim: str | None = None
    tags: tuple[str, ...] = ()


class _Declared(BaseModel):
    hypothesis: str
    claim: str
    tags: tuple[str, ...] = ()


class _ModelName(BaseModel):
    name: str


class _RecordHead(BaseModel):
    started: str
    status: Status
    fingerprint: str
    hypothesis: _Declared
    model: _ModelName


class _VerdictHead(BaseModel):
    verdict: VerdictName
    expected: Expected
    unforeseen: tuple[str, ...] = ()

    @property
    def as_expected(self) -> bool:
        return is_as_expected(self.verdict, self.expected, self.unforeseen)


def new_id(hypothesis: str, now: datetime, fingerprint: str) -> str:
    """A run's id; its timestamp counts milliseconds, so that ids sort by time.

    Args:
        hypothesis: its name.
        now: in UTC.
        fingerprint: of everything the measurement depends on.
    """
    stamp = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
    return f"{hypothesis}/{stamp}-{fingerprint[:6]}"


def create(root: Path, record: Record) -> Path:
    """Make the folder of a new run and write the record as it is so far.

    Raises:
        UsageError: There is such a run already.
        OSError: It cannot be written.
    """
    folder = root / record.id
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise UsageError(f"{folder}: there is such a run already. Run it again.") from error
    write(folder, record, {})
    return folder


def find_runs(root: Path) -> list[RunEntry]:
    """Every run under the root, oldest first; unreadable ones with their problem."""
    home = os.path.realpath(root)
    entries = [
        _entry(root, run)
        for hypothesis in _folders(root, home)
        for run in _folders(hypothesis, home)
        if _is_inside(run / RECORD, home) and is_run(run)
    ]
    return sorted(entries, key=lambda entry: (entry.started or "", entry.folder.name, entry.id))


def entry_of(folder: Path) -> RunEntry:
    """One run as a list shows it, wherever its folder lies."""
    whole = Path(os.path.realpath(folder))
    return _entry(whole.parent.parent, whole)


def latest(root: Path, hypothesis: str) -> Record | None:
    """The record of the newest complete run of a hypothesis, where there is a readable one."""
    of_it = [e for e in find_runs(root) if e.hypothesis == hypothesis and e.status == "complete"]
    found = (record_of(each.folder) for each in reversed(of_it))
    return next((record for record in found if record is not None), None)


def unfinished(root: Path, record: Record) -> list[Path]:
    """The readable runs with this record's fingerprint that are not complete, newest first."""
    return [each.folder for each in _alike(root, record, "measuring")]


def unjudged(root: Path, record: Record) -> Path | None:
    """The newest complete run with this record's fingerprint, where nobody judged or edited it."""
    newest = next(_alike(root, record, "complete"), None)
    if newest is None or os.path.lexists(newest.folder / VERDICT) or is_edited(newest.folder):
        return None
    return newest.folder


def _alike(root: Path, record: Record, status: Status) -> Iterator[RunEntry]:
    """Readable runs of this status that measure what the record does, newest first."""
    for entry in reversed(find_runs(root)):
        about = (entry.status, entry.hypothesis, entry.fingerprint)
        wanted = (status, record.hypothesis.hypothesis, record.fingerprint)
        if about == wanted and observed(entry.folder) is not None:
            yield entry


def resolve(argument: str, root: Path) -> Path:
    """The run folder a user means.

    Args:
        argument: a run folder, a file in one, a run's id, its unique beginning (with or without
            the hypothesis), or a hypothesis or its folder, which is its latest run; `latest` is
            the newest of all.
        root: where runs are kept.

    Raises:
        UsageError: It means no run, or several.
    """
    path = Path(argument)
    if is_run(path):
        return path
    if os.path.isfile(path) and is_run(path.parent):
        return path.parent
    wanted = argument.rstrip("/\\")
    entries = find_runs(root)
    of_hypothesis = [e for e in entries if wanted in (e.hypothesis, str(e.folder.parent))]
    if of_hypothesis:
        readable = [e for e in of_hypothesis if e.status is not None]
        return (readable or of_hypothesis)[-1].folder
    readable = [e for e in entries if e.status is not None]
    if wanted == LATEST and readable:
        return readable[-1].folder
    exact = [e for e in entries if e.id == wanted]
    return _only(exact or _beginning(entries, wanted), wanted, entries, root).folder


def _beginning(entries: list[RunEntry], wanted: str) -> list[RunEntry]:
    if not wanted:
        return []
    return [e for e in entries if e.id.startswith(wanted) or e.folder.name.startswith(wanted)]


def _only(found: list[RunEntry], wanted: str, entries: list[RunEntry], root: Path) -> RunEntry:
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(entry.id for entry in found[:5]) + (", …" if len(found) > 5 else "")
        raise UsageError(f"{wanted!r} may mean any of {len(found)} runs: {some}.")
    if not entries:
        raise UsageError(f"no run {wanted!r}: there is none in {root} yet. Make one: tracer run.")
    names = [*{entry.hypothesis: None for entry in entries}, *(entry.id for entry in entries)]
    raise UsageError(f"{unknown('run', wanted, names)} Looked in {root}.")


def _folders(folder: Path, home: str) -> Iterator[Path]:
    """The folders in a folder, by name, hidden ones and links out of the root left out."""
    if not os.path.isdir(folder):
        return
    for name in sorted(os.listdir(folder)):
        inner = folder / name
        if not name.startswith(".") and os.path.isdir(inner) and _is_inside(inner, home):
            yield inner


def _is_inside(path: Path, home: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(home)


def _entry(root: Path, folder: Path) -> RunEntry:
    return _entry_as_of(root, folder, file_stamp(folder / RECORD), file_stamp(folder / VERDICT))


@lru_cache(maxsize=10_000)
def _entry_as_of(root: Path, folder: Path, *stamps: FileStamp | None) -> RunEntry:
    """Read once as long as the stamps stay: a list of runs is asked for at every click."""
    where = folder.relative_to(root)
    try:
        head = read_model(folder / RECORD, _RecordHead, SCHEMA)
    except UsageError as error:
        hypothesis = path_text(where.parts[0])
        return RunEntry(path_text(where), folder, hypothesis, *[None] * 6, problem=str(error))
    verdict, problem = None, None
    try:
        verdict = _verdict(root, folder)
    except UsageError as error:
        problem = f"{error} Delete it, and judge the run again."
    return RunEntry(
        id=path_text(where),
        folder=folder,
        hypothesis=head.hypothesis.hypothesis,
        started=head.started,
        status=head.status,
        fingerprint=head.fingerprint,
        model=head.model.name,
        verdict=verdict.verdict if verdict else None,
        as_expected=verdict.as_expected if verdict else None,
        problem=problem,
        claim=head.hypothesis.claim,
        tags=head.hypothesis.tags,
    )


def _verdict(root: Path, folder: Path) -> _VerdictHead | None:
    path = folder / VERDICT
    if not os.path.lexists(path) or not _is_inside(path, os.path.realpath(root)):
        return None
    found = read_model(path, _VerdictHead, VERDICT_SCHEMA)
    if is_as_written(bytes_of(path)) is False:
        raise UsageError(f"{path}: it was edited after it was written.")
    return found
