"""Folders of runs that were measured, for what reads and lists them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.records import change, make_record
from tracer.record import run_folder, runs


def measured_run(
    root: Path, run_id: str = "two_hop/20260102T030405.000Z-0123ab", **changes: Any
) -> Path:
    """A run that is not judged yet; changes of its record by dotted path."""
    record, arrays = make_record()
    for path, value in {"id": run_id, **changes}.items():
        record = change(record, path, value)
    folder = runs.create(root, record)
    run_folder.write(folder, record, arrays)
    return folder


def replaced(text: str, key: str, value: object) -> str:
    """A JSON object's text with one value put in place."""
    return json.dumps({**json.loads(text), key: value})
