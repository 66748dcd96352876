"""What can still be told of a run that cannot be opened: it is never nothing.

Whatever text of the record is there is taken as text, from any version; nothing is judged by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic_core import from_json

from tracer.arrays import check_arrays
from tracer.errors import UsageError
from tracer.run_folder import RECORD, read_arrays, read_record, read_verdict


class Salvage(NamedTuple):
    """What of a run folder can be read; None where it cannot."""

    file: str | None
    """The hypothesis file's name, as it was given on the command line."""
    yaml: str | None
    """The file, verbatim."""
    claim: str | None
    judged: str | None
    """Verdict and reason, as they were written then."""
    can_be_judged: bool
    """Whether the record and its tensors are sound, so that only the verdict is not."""


def salvage(folder: Path) -> Salvage:
    """Look at every file for itself; no file of the folder is written."""
    told = _record(folder)
    return Salvage(
        file=_text(told, "file"),
        yaml=_text(told, "yaml"),
        claim=_text(told.get("hypothesis"), "claim"),
        judged=_judged(folder),
        can_be_judged=_is_measured(folder),
    )


def _record(folder: Path) -> dict[str, Any]:
    try:
        path = folder / RECORD
        data = path.read_bytes() if path.is_file() else b""
        found = from_json(data, allow_partial="trailing-strings")
    except (OSError, ValueError):
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _text(found: Any, key: str) -> str | None:
    value = cast(dict[str, object], found).get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _judged(folder: Path) -> str | None:
    try:
        verdict = read_verdict(folder)
    except UsageError:
        return None
    return None if verdict is None else f"{verdict.verdict}: {verdict.reason}"


def _is_measured(folder: Path) -> bool:
    try:
        record = read_record(folder)
        check_arrays(record, read_arrays(folder))
    except UsageError:
        return False
    return record.status == "complete"
