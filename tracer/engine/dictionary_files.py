"""What is done with a dictionary as files, without a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tracer.engine.features.formats.compact import write_compact
from tracer.engine.features.formats.registry import read_dictionary
from tracer.engine.progress import Progress
from tracer.errors import UsageError


class Compacted(NamedTuple):
    """A dictionary that was written with int8 weights."""

    folder: Path
    n_before: int
    """Bytes of the files it was read from."""
    n_after: int


def compact(folder: Path, out: Path, progress: Progress) -> Compacted:
    """Write the dictionary of a folder into a new folder, with int8 weights.

    Raises:
        UsageError: The first is no sound dictionary, the other is there already, or the format of
            int8 weights has no place for what the dictionary computes.
        OSError: It cannot be written; nothing of it is left.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder.")
    dictionary = read_dictionary(folder.resolve(), str(folder), _nothing_fetched)
    write_compact(dictionary, out, progress)
    return Compacted(out, _bytes(dictionary.files), _bytes(out.iterdir()))


def _nothing_fetched(files: object) -> list[Path]:
    if not files:
        return []
    raise UsageError(
        "the folder's config.yaml names files on the hub; only a folder that holds its weights is "
        "written anew."
    )


def _bytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)
