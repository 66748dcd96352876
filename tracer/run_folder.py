"""One run on disk: `run.json`, `measurements.safetensors`, `verdict.json`, read and written whole.

What stands in a run folder may come from another version, another program or a disk that ran full:
reading it either gives a thing that fits, or a sentence.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError

from tracer.arrays import Arrays, Observed, check_forms
from tracer.atomic import write_bytes, write_text
from tracer.errors import UsageError
from tracer.evidence.verdict import Verdict
from tracer.hypothesis.variations import measurable
from tracer.record import SCHEMA, Record
from tracer.record_rules import contradictions

RECORD = "run.json"
ARRAYS = "measurements.safetensors"
VERDICT = "verdict.json"
VARIANTS = "variants"
"""Folder of the variations in a run's own, where no list of runs looks."""
VERDICT_SCHEMA = "tracer.verdict/1"

_N_MISFITS = 3
_SCHEMA = re.compile(r"tracer\.(\w+)/(\d{1,9})")

Kind = TypeVar("Kind", bound=BaseModel)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a record, readable or not."""
    return os.path.isfile(folder / RECORD)


def write(folder: Path, record: Record, arrays: Arrays) -> None:
    """Write what was measured: the arrays first, so that no record speaks of missing ones.

    Raises:
        OSError: A file cannot be written; the older ones stand.
    """
    whole = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    write_bytes(folder / ARRAYS, safetensors.numpy.save(whole))
    write_text(folder / RECORD, _json(record))


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write what was judged.

    Raises:
        OSError: It cannot be written.
    """
    write_text(folder / VERDICT, _json(verdict))


def read_record(folder: Path) -> Record:
    """Read what a run observed.

    Raises:
        UsageError: There is none, or it is not one that this version reads.
    """
    path = folder / RECORD
    record = read_model(path, Record, SCHEMA)
    wrong = list(islice(contradictions(record), _N_MISFITS + 1))
    if wrong:
        more = "; and more" if len(wrong) > _N_MISFITS else ""
        told = "; ".join(wrong[:_N_MISFITS]) + more
        raise UsageError(f"{path}: what it says does not go together: {told}.")
    return record


def read_verdict(folder: Path) -> Verdict | None:
    """Read what was judged; None where nothing was yet.

    Raises:
        UsageError: It is not a verdict that this version reads.
    """
    if not os.path.lexists(folder / VERDICT):
        return None
    return read_model(folder / VERDICT, Verdict, VERDICT_SCHEMA)


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a run.

    Raises:
        UsageError: They are missing, truncated, or no safetensors file.
    """
    path = folder / ARRAYS
    try:
        return safetensors.numpy.load(_bytes(path))
    except (SafetensorError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path}: cut short, or no safetensors file ({_line(error)}). Run it again."
        ) from error


def record_of(folder: Path) -> Record | None:
    """A run's record; None where it cannot be read."""
    try:
        return read_record(folder)
    except UsageError:
        return None


def observed(folder: Path) -> Observed | None:
    """What a run observed, finished or not; None where it cannot be read."""
    try:
        record, arrays = read_record(folder), read_arrays(folder)
        check_forms(record, arrays)
    except UsageError:
        return None
    return Observed(record, arrays)


def variant_folder(folder: Path, name: str) -> Path:
    """Where a variation of a run is."""
    return folder / VARIANTS / name


def read_variants(folder: Path, record: Record) -> dict[str, Observed]:
    """Read the variations that a run measured; those whose folder is gone are left out.

    Raises:
        UsageError: One is unreadable.
    """
    names = [each.name for each in measurable(record.hypothesis) if each.name in record.variants]
    return {
        name: Observed(read_record(inner), read_arrays(inner))
        for name in names
        if record.variants[name].fingerprint is not None
        and is_run(inner := variant_folder(folder, name))
    }


def read_model(path: Path, kind: type[Kind], schema: str) -> Kind:
    """Read a JSON file whose `schema` is the one given.

    Raises:
        UsageError: It is missing, unreadable, cut short, foreign, newer, or does not fit.
    """
    data = _bytes(path)
    try:
        name = _schema_of(from_json(data))
    except ValueError as error:
        raise UsageError(f"{path}: cut short, or not JSON ({_line(error)}).") from error
    if name != schema:
        raise UsageError(f"{path}: {_foreign(name, schema)}")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise UsageError(f"{path}: not what {schema} says: {_misfits(error)}.") from error


def _json(model: Record | Verdict) -> str:
    return model.model_dump_json(by_alias=True, indent=1) + "\n"


def _bytes(path: Path) -> bytes:
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
        for e in errors[:_N_MISFITS]
    ]
    more = len(errors) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
