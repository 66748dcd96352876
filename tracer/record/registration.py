"""The one registration of a hypothesis: `<root>/<hypothesis>/registered.json`, written once."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from tracer.hypothesis.load import dump
from tracer.hypothesis.spec import Hypothesis
from tracer.record import run_folder, runs
from tracer.record.files import create_text
from tracer.record.json_model import read_model
from tracer.record.registered import SCHEMA, Registration, as_declared, sha256_of

REGISTERED = "registered.json"


def register(reports: Path, hypothesis: Hypothesis, now: datetime) -> Registration:
    """Register a hypothesis if that was not done; gives what is registered under its name.

    Where runs of it lie there already, what the first of them declared is what was registered:
    deleting the file does not begin anew.

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
            create_text(path, found.model_dump_json(by_alias=True, indent=1) + "\n")
        except FileExistsError:
            found = read_model(path, Registration, SCHEMA)
    as_declared(found)  # what cannot be compared is told before anything is measured
    return found


def registered(reports: Path, name: str) -> Registration | None:
    """What is registered under a name; None where nothing is.

    Raises:
        UsageError: It was edited, or is not one that this version reads.
    """
    path = reports / name / REGISTERED
    return read_model(path, Registration, SCHEMA) if os.path.lexists(path) else None


def registration_of(hypothesis: Hypothesis, at: str) -> Registration:
    """Fix what it declares.

    Args:
        hypothesis: as it is going to be measured.
        at: UTC, ISO 8601.
    """
    text = dump(hypothesis)
    return Registration(
        schema=SCHEMA,
        hypothesis=hypothesis.hypothesis,
        registered=at,
        declared=text,
        sha256=sha256_of(text),
    )


def _first_run(reports: Path, name: str) -> Registration | None:
    """What the oldest run that can be read was made with."""
    for entry in runs.find_runs(reports):
        record = run_folder.record_of(entry.folder) if entry.hypothesis == name else None
        if record is not None:
            return record.registration or registration_of(record.hypothesis, record.started)
    return None
