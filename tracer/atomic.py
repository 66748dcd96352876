"""Files that are either wholly there or not at all, whatever is killed or runs full meanwhile."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

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
    """Write the data beside the path, and put it there once it is whole."""
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
    """Replacing a pipe, a device or a link to an open stream would take it away from everybody."""
    is_stream = path.is_symlink() and os.readlink(path).startswith("/proc/")
    if is_stream or (path.exists() and not (path.is_file() or path.is_dir())):
        raise UsageError(f"{path}: this is not a regular file, so it is not replaced by one.")


def _put_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, where a moment is left to be overtaken in
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut, where the system can open folders at all."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
