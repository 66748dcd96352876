"""Drafts of hypotheses: one folder of YAML files, where nothing is overwritten unseen."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tracer.errors import UsageError
from tracer.hypothesis.yaml_text import MAX_BYTES, read_text
from tracer.record.files import write_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = re.compile(r"[a-z0-9_-]{1,64}")
SUFFIX = ".yaml"


def names(folder: Path) -> list[str]:
    """The drafts there are; links, folders and other names are none."""
    if not folder.is_dir():
        return []
    return sorted(
        path.stem
        for path in folder.iterdir()
        if path.suffix == SUFFIX and NAME.fullmatch(path.stem) and _is_plain(path)
    )


def path_of(folder: Path, name: str) -> Path:
    """Where a draft lies.

    Raises:
        UsageError: It is no name of a draft.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a draft: 1 to 64 of a to z, 0 to 9, _ and - make one."
        )
    return folder / f"{name}{SUFFIX}"


def load(folder: Path, name: str) -> str:
    """A draft's text.

    Raises:
        UsageError: There is no such draft, or it is not a text.
        HypothesisError: It is too large, or not UTF-8.
    """
    path = path_of(folder, name)
    if not _is_plain(path):
        raise UsageError(f"there is no draft {name!r}.")
    return read_text(str(path))


def create(folder: Path, name: str, text: str) -> Path:
    """Save a new draft, wholly or not at all.

    Raises:
        UsageError: There is a draft of that name, or the text is too large.
        OSError: It cannot be written.
    """
    path = path_of(folder, name)
    _check_size(text)
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f".{name}.{secrets.token_hex(4)}.new"
    try:
        write_text(whole, text)
        os.link(whole, path)
    except FileExistsError as error:
        raise UsageError(
            f"there is a draft {name!r} already. Open it to change it, or save under another name."
        ) from error
    finally:
        whole.unlink(missing_ok=True)
    return path


def replace(folder: Path, name: str, text: str, read: str) -> Path:
    """Save a draft over the text that was read from it.

    Raises:
        UsageError: It is another text by now, or none, or the new one is too large.
        OSError: It cannot be written.
    """
    path = path_of(folder, name)
    _check_size(text)
    with _alone(folder):
        if load(folder, name) != read:
            raise UsageError(
                f"the draft {name!r} was changed by someone else since it was opened here. "
                "Save under another name, or open it again."
            )
        write_text(path, text)
    return path


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keep other dashboards from saving between a look and a write.

    The folder itself is locked, so that no file is left; where a system cannot, nobody waits.
    """
    if fcntl is None or not folder.is_dir():
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _check_size(text: str) -> None:
    if len(text.encode("utf-8", "backslashreplace")) > MAX_BYTES:
        raise UsageError(f"the draft is larger than {MAX_BYTES >> 20} MiB.")
