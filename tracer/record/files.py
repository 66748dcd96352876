"""Files of the record: written in one step, told apart by a stamp, read as JSON with a schema.

A file is written beside its place and renamed, so that a reader finds all of it or none. `Recorded`
is the base of everything a run writes as JSON; its `schema` key names the format and its version.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from tracer.errors import UsageError, one_line

RECORD = "run.json"
MOST_MISFITS = 3
_TEMPORARY = ".tmp"
_LEFT = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
ABANDONED = 3600
"""Seconds without a write after which no process is still writing a temporary file."""
_SCHEMA = re.compile(r"tracer\.(\w+)/(\d{1,9})")
Kind = TypeVar("Kind", bound=BaseModel)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step; on failure the old one stands and nothing is left beside it.

    Raises:
        UsageError: What is there is no regular file: a pipe, a device, an open stream.
        OSError: It cannot be written; `filename` is the path that was asked for.
    """
    _place(path, data, os.replace)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step, as UTF-8; a lone surrogate becomes its escape.

    Raises:
        UsageError, OSError: See `write_bytes`.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def create_text(path: Path, text: str) -> None:
    """Write a text file that must not be there yet, in one step, as UTF-8.

    Raises:
        FileExistsError: It is there; it stands as it was, whoever was first.
        OSError: It cannot be written.
    """
    _place(path, text.encode("utf-8"), _put_new)


def write_file(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace a file in one step by what `fill` writes to the path that it is given.

    Raises:
        UsageError, OSError: See `write_bytes`.
    """
    _fill_and_put(path, fill, os.replace)


def _place(path: Path, data: bytes, put: Callable[[Path, Path], None]) -> None:
    def fill(temporary: Path) -> None:
        with open(temporary, "xb") as file:
            file.write(data)

    _fill_and_put(path, fill, put)


def _fill_and_put(
    path: Path, fill: Callable[[Path], None], put: Callable[[Path, Path], None]
) -> None:
    require_plain(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}")
    try:
        try:
            fill(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def left_behind(folder: Path, seconds: int = ABANDONED) -> Iterator[Path]:
    """Temporary files of killed processes in a folder and its subfolders.

    Args:
        folder: It need not exist.
        seconds: So long none was written to; 0 where no other process writes there.
    """
    before = time.time() - seconds
    for path in sorted(folder.rglob(f".*{_TEMPORARY}")):
        stamp = file_stamp(path)
        if _LEFT.fullmatch(path.name) and stamp and stamp.modified <= before * 1e9:
            yield path


def remove_left_behind(folder: Path, seconds: int = ABANDONED) -> None:
    """Remove them; one that cannot be removed stays."""
    for path in left_behind(folder, seconds):
        with suppress(OSError):
            path.unlink()


def require_plain(path: Path) -> None:
    """Refuse pipes, devices and links to open streams: replacing one would break its users.

    Raises:
        UsageError: It is one of them.
    """
    is_stream = path.is_symlink() and os.readlink(path).startswith("/proc/")
    if is_stream or (path.exists() and not (path.is_file() or path.is_dir())):
        raise UsageError(f"{path}: this is not a regular file, so it is not replaced by one.")


def _put_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: another writer may come between
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can open folders."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileStamp(NamedTuple):
    """Identity and age of a file; times in nanoseconds, size in bytes."""

    device: int
    inode: int
    modified: int
    changed: int
    size: int


def file_stamp(path: Path) -> FileStamp | None:
    """Changes whenever the content does, as files here are replaced and never written into.

    None where there is no such file; a link is followed.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: no name that a file can have
        return None
    return FileStamp(
        found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
    )


def free_name(base: str, taken: Collection[str]) -> str:
    """`base`, or where that is taken, the first of `base_2`, `base_3`, … that is not."""
    names = [base, *(f"{base}_{n}" for n in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def path_text(path: PurePath | str) -> str:
    r"""A path as valid UTF-8: a byte that is none becomes its escape, such as `\xff`."""
    name = path if isinstance(path, str) else path.as_posix()
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class Recorded(BaseModel):
    """Base of everything a run writes down; not-a-number goes into JSON as "NaN" and comes back."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True
    )


def as_json(found: Recorded) -> str:
    """What is written down, as the text of its file."""
    return found.model_dump_json(by_alias=True, indent=1) + "\n"


def read_model(path: Path, kind: type[Kind], schema: str) -> Kind:
    """Read a JSON file whose `schema` is the one given.

    Raises:
        UsageError: It is missing, unreadable, cut short, foreign, newer, or does not fit.
    """
    data = bytes_of(path).removeprefix(BOM_UTF8)  # some editors put it there
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
