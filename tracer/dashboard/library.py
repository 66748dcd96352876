"""The hypothesis files that can be edited: listed from one folder, read and never written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tracer.errors import UsageError
from tracer.hypothesis.source import read_text
from tracer.spelling import spelled

MOST_FILES = 1_000
_SUFFIXES = (".yaml", ".yml")
_DEEPEST = 3
"""Folders below the first one."""


def files(folder: Path, without: Path) -> dict[str, Path]:
    """Every YAML file by its path in the folder; links are none, nor is what lies in `without`."""
    found: dict[str, Path] = {}
    for path in _walk(folder, without, _DEEPEST):
        if len(found) == MOST_FILES:
            break
        found[spelled(path.relative_to(folder))] = path
    return found


def load(folder: Path, without: Path, name: str) -> str:
    """The text of one of `files`.

    Raises:
        UsageError: There is no such file.
        HypothesisError: It is too large, or not UTF-8.
    """
    path = files(folder, without).get(name)
    if path is None:
        raise UsageError(f"there is no hypothesis file {name!r} any more.")
    return read_text(str(path))


def _walk(folder: Path, without: Path, depth: int) -> Iterator[Path]:
    """Files of a folder, then those of the folders in it."""
    try:
        inside = sorted(path for path in folder.iterdir() if not path.is_symlink())
    except OSError:
        return
    yield from (path for path in inside if path.suffix in _SUFFIXES and path.is_file())
    for path in inside:
        hidden = path.name.startswith(".") or path.resolve() == without.resolve()
        if depth and path.is_dir() and not hidden:
            yield from _walk(path, without, depth - 1)
