"""The registration of a hypothesis: what it declared before anything of it was measured.

`<root>/<hypothesis>/registered.json` is written once, and every run of the hypothesis carries a
copy, so that a judge can tell what was changed or added since.
"""

from __future__ import annotations

import os
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from tracer.errors import UsageError, dotted
from tracer.hypothesis.load import dump
from tracer.hypothesis.partial import read_parts
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import YamlMistake, parse
from tracer.record import run_folder, runs
from tracer.record.files import as_json, create_text, read_model
from tracer.record.record import REGISTRATION_SCHEMA, Registration

REGISTERED = "registered.json"


def register(reports: Path, hypothesis: Hypothesis, now: datetime) -> Registration:
    """Register a hypothesis unless one of its name is; gives what is registered.

    Where runs of it exist without the file, what the oldest of them declared is registered:
    deleting the file does not start anew.

    Args:
        reports: folder that holds the runs, by hypothesis.
        hypothesis: as it is going to be measured.
        now: in UTC.

    Raises:
        UsageError: What is there was edited, or is not one that this version reads.
        OSError: It cannot be written.
    """
    name = hypothesis.hypothesis
    found = registered(reports, name)
    if found is None:
        first = _first_run(reports, name)
        found = first or registration_of(hypothesis, now.isoformat(timespec="seconds"))
        path = reports / name / REGISTERED
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            create_text(path, as_json(found))
        except FileExistsError:
            found = read_model(path, Registration, REGISTRATION_SCHEMA)
    as_declared(found)  # what cannot be compared is reported before anything is measured
    return found


def registered(reports: Path, name: str) -> Registration | None:
    """What is registered under a name; None where nothing is.

    Raises:
        UsageError: It was edited, or is not one that this version reads.
    """
    path = reports / name / REGISTERED
    return read_model(path, Registration, REGISTRATION_SCHEMA) if os.path.lexists(path) else None


def registration_of(hypothesis: Hypothesis, at: str) -> Registration:
    """The registration of a hypothesis as it is going to be measured; `at` is UTC, ISO 8601."""
    text = dump(hypothesis)
    return Registration(
        hypothesis=hypothesis.hypothesis,
        registered=at,
        declared=text,
        sha256=sha256(text.encode()).hexdigest(),
    )


def as_declared(registration: Registration) -> Hypothesis:
    """The hypothesis that was registered.

    Raises:
        UsageError: This version does not read it.
    """
    of = f"{registration.hypothesis}, as registered on {when(registration)}, is not read by this"
    return _read(registration.declared, of)


def when(registration: Registration) -> str:
    """Its time, for people."""
    return f"{registration.registered.replace('T', ' ')[:16]} UTC"


def _first_run(reports: Path, name: str) -> Registration | None:
    """The registration of the oldest readable run."""
    for entry in runs.find_runs(reports):
        record = run_folder.record_of(entry.folder) if entry.hypothesis == name else None
        if record is not None:
            return record.registration or registration_of(record.hypothesis, record.started)
    return None


@lru_cache(maxsize=4)
def _read(declared: str, of: str) -> Hypothesis:
    """Cached: a long file takes seconds to parse, and each run asks for it more than once."""
    try:
        reading = read_parts(parse(declared).data)
    except YamlMistake as mistake:
        raise UsageError(f"{of} tracer: {mistake.message}.") from None
    if reading.hypothesis is None:
        first = reading.problems[0]
        raise UsageError(f"{of} tracer: {dotted(first.path)}: {first.message}.")
    return reading.hypothesis
