"""What tells a changed file from the one that was read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """Which file it is, and of when; times in nanoseconds, size in bytes."""

    device: int
    inode: int
    modified: int
    changed: int
    size: int


def file_stamp(path: Path) -> FileStamp | None:
    """Another one whenever the text is: files here are replaced, never written into.

    None where there is no such file; a link stands for what it leads to.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: no name that a file can have
        return None
    return FileStamp(
        found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
    )
