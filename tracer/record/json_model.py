"""JSON files with a schema: the base of everything that is recorded, and how a file is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from tracer.errors import UsageError

RECORD = "run.json"

MOST_MISFITS = 3
_SCHEMA = re.compile(r"tracer\.(\w+)/(\d{1,9})")

Kind = TypeVar("Kind", bound=BaseModel)


class Recorded(BaseModel):
    """Base of everything a run writes down; not-a-number goes into JSON as "NaN" and comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


def read_model(path: Path, kind: type[Kind], schema: str) -> Kind:
    """Read a JSON file whose `schema` is the one given.

    Raises:
        UsageError: It is missing, unreadable, cut short, foreign, newer, or does not fit.
    """
    data = bytes_of(path)
    try:
        name = _schema_of(from_json(data))
    except ValueError as error:
        raise UsageError(f"{path}: cut short, or not JSON ({one_line(error)}).") from error
    if name != schema:
        raise UsageError(f"{path}: {_foreign(name, schema)}")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise UsageError(f"{path}: not what {schema} says: {_misfits(error)}.") from error


def bytes_of(path: Path) -> bytes:
    """The content of a regular file in a run folder.

    Raises:
        UsageError: It is missing, unreadable or no regular file.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path}: this is not a regular file.")
        return path.read_bytes()
    except FileNotFoundError as error:
        what = "no run is here" if path.name == RECORD else "this run is not whole"
        raise UsageError(f"{path.parent}: {what}, {path.name} is missing.") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error


def _schema_of(found: Any) -> str | None:
    name = cast(dict[str, object], found).get("schema") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def _foreign(name: str | None, schema: str) -> str:
    mine, theirs = _SCHEMA.fullmatch(schema), _SCHEMA.fullmatch(name or "")
    assert mine is not None
    if theirs is None or theirs[1] != mine[1]:
        return f"not written by tracer: its schema is {name!r}, not {schema!r}."
    if int(theirs[2]) > int(mine[2]):
        return f"written by a newer tracer ({name}; this one reads {schema}). Update tracer."
    return f"written by an older tracer ({name}; this one reads {schema}). Run it again."


def _misfits(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    shown = [
        f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg'].lower()}"
        for e in errors[:MOST_MISFITS]
    ]
    more = len(errors) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def one_line(error: Exception) -> str:
    """An error's text on one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]
