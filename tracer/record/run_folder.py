"""One run on disk: `run.json`, `measurements.safetensors`, `verdict.json`, read and written whole.

A run folder may come from another version, another program or a full disk: reading it gives either
a model that fits or a `UsageError`. `read_unreadable` gives what text is left of a broken one.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic_core import from_json
from safetensors import SafetensorError

from tracer.errors import UsageError, one_line
from tracer.hypothesis.implied import measurable_variations
from tracer.record.arrays import Arrays, Observed, check_arrays, check_forms
from tracer.record.check import contradictions
from tracer.record.files import (
    MOST_MISFITS,
    RECORD,
    as_json,
    bytes_of,
    read_model,
    write_bytes,
)
from tracer.record.record import SCHEMA, Record
from tracer.record.seal import is_as_written, sealed
from tracer.record.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np

ARRAYS = "measurements.safetensors"
VERDICT = "verdict.json"
VARIANTS = "variants"
"""Folder of the variations in a run's own, where no list of runs looks."""
VERDICT_SCHEMA = "tracer.verdict/1"


def is_run(folder: Path) -> bool:
    """Whether a folder holds a record, readable or not."""
    return os.path.isfile(folder / RECORD)


def write(folder: Path, record: Record, arrays: Arrays) -> None:
    """Write what was measured: the arrays first, so that no record speaks of missing ones.

    Raises:
        OSError: A file cannot be written; the older ones stand.
    """
    import numpy as np  # lists of runs read no arrays
    import safetensors.numpy

    whole = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    tensors = safetensors.numpy.save(whole)
    write_bytes(folder / ARRAYS, tensors)
    write_bytes(folder / RECORD, sealed(_json(record), tensors))


def write_verdict(folder: Path, verdict: Verdict) -> None:
    """Write what was judged.

    Raises:
        OSError: It cannot be written.
    """
    write_bytes(folder / VERDICT, sealed(_json(verdict)))


def read_record(folder: Path) -> Record:
    """Read what a run observed.

    Raises:
        UsageError: There is none, or it is not one that this version reads.
    """
    path = folder / RECORD
    record = read_model(path, Record, SCHEMA)
    wrong = list(islice(contradictions(record), MOST_MISFITS + 1))
    if wrong:
        more = "; and more" if len(wrong) > MOST_MISFITS else ""
        told = "; ".join(wrong[:MOST_MISFITS]) + more
        raise UsageError(f"{path}: what it says does not go together: {told}.")
    return record.model_copy(update={"seal": None})  # it is the file's, not the run's


def is_edited(folder: Path) -> bool:
    """Whether record or tensors are not as they were written; older ones cannot tell.

    Raises:
        UsageError: One of them is not there.
    """
    files = (bytes_of(folder / RECORD), bytes_of(folder / ARRAYS))
    return is_as_written(*files) is False


def read_verdict(folder: Path) -> Verdict | None:
    """Read what was judged; None where nothing was yet.

    Raises:
        UsageError: It is not a verdict that this version reads.
    """
    if not os.path.lexists(folder / VERDICT):
        return None
    found = read_model(folder / VERDICT, Verdict, VERDICT_SCHEMA)
    return found.model_copy(update={"seal": None})  # it is the file's, not the verdict's


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a run.

    Raises:
        UsageError: They are missing, truncated, or no safetensors file.
    """
    import safetensors.numpy  # lists of runs read no arrays

    path = folder / ARRAYS
    try:
        return safetensors.numpy.load(bytes_of(path))
    except (SafetensorError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path}: cut short, or no safetensors file ({one_line(error)}). Run it again."
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
    found: dict[str, Observed] = {}
    for name in (each.name for each in measurable_variations(record.hypothesis)):
        variant, inner = record.variants.get(name), variant_folder(folder, name)
        if variant and variant.fingerprint is not None and is_run(inner):
            found[name] = Observed(read_record(inner), read_arrays(inner))
    return found


def _json(model: Record | Verdict) -> str:
    unsealed = model.model_copy(update={"seal": None})
    return as_json(unsealed)


class UnreadableRun(NamedTuple):
    """What of a run folder that cannot be opened is still readable; None where nothing is."""

    file: str | None
    """The hypothesis file's name, as it was given on the command line."""
    yaml: str | None
    """The file, verbatim."""
    claim: str | None
    judged: str | None
    """Verdict and reason, as they were written then."""
    can_be_judged: bool
    """Whether record and tensors are sound, so that only the verdict is broken."""


def read_unreadable(folder: Path) -> UnreadableRun:
    """Read each file of a run folder by itself, the record from any version and up to any cut."""
    found = _partial_record(folder)
    return UnreadableRun(
        file=_text(found, "file"),
        yaml=_text(found, "yaml"),
        claim=_text(found.get("hypothesis"), "claim"),
        judged=_judged(folder),
        can_be_judged=_is_measured(folder),
    )


def _partial_record(folder: Path) -> dict[str, Any]:
    try:
        path = folder / RECORD
        data = path.read_bytes() if path.is_file() else b""
        found = from_json(data.removeprefix(BOM_UTF8), allow_partial="trailing-strings")
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
