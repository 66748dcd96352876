"""Which process measures a run: it holds a lock beside the run's folder, from first write to last.

`<root>/<hypothesis>/.<run>.lock` is there while the run is measured. The system lets go of it when
its process ends, however that happens, so a killed run can be taken up and a live one cannot.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


def is_claimed(folder: Path) -> bool:
    """Whether a process that still runs holds a run; it writes nothing where there is no lock."""
    path = _lock_of(folder)
    try:
        if not path.exists():
            return False
        with claimed(folder) as is_mine:
            return not is_mine
    except OSError:  # a folder that may only be read: nobody measures there
        return False


@contextmanager
def claimed(folder: Path) -> Generator[bool, None, None]:
    """Hold a run, whose folder need not be there yet; False where another process holds it.

    Raises:
        OSError: The lock cannot be written.
    """
    path = _lock_of(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # Windows removes no open file; there the release does
            path.unlink()
        lock.release()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
