"""Files written in one step, so that a reader finds all of one or none; their stamps and names."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path, PurePath
from typing import NamedTuple

from tracer.errors import UsageError


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


def _place(path: Path, data: bytes, put: Callable[[Path, Path], None]) -> None:
    _require_plain(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _require_plain(path: Path) -> None:
    """Refuse pipes, devices and links to open streams: replacing one would break its users."""
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
