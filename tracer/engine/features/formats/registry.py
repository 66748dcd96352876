"""The dictionary formats, and which one a folder is in, told by the files it holds."""

from __future__ import annotations

from pathlib import Path

from tracer.engine.features.dictionary import Dictionary
from tracer.engine.features.formats import (
    circuit_tracer,
    gemma_scope,
    llamascopium,
    saelens,
    sparsify,
)
from tracer.engine.features.formats.format import Fetch, Format
from tracer.engine.model.hf_folder import PICKLES
from tracer.errors import UsageError

FORMATS: tuple[Format, ...] = (
    circuit_tracer.FORMAT,
    sparsify.FORMAT,
    saelens.FORMAT,
    gemma_scope.FORMAT,
    llamascopium.FORMAT,
)
"""In the order in which a folder is tried; sparsify and SAELens both have a `cfg.json`."""


def hub_patterns() -> tuple[str, ...]:
    """What is fetched of a folder on the hub; further files are those its configuration names."""
    return tuple(pattern for each in FORMATS for pattern in each.hub_patterns)


def nested_patterns() -> tuple[str, ...]:
    """What is fetched of its subfolders, where the folder has no such files of its own."""
    return tuple(pattern for each in FORMATS for pattern in each.nested_patterns)


def has_own_files(folder: Path) -> bool:
    """Whether something that `hub_patterns` fetches lies in the folder itself."""
    return any(any(folder.glob(pattern)) for pattern in hub_patterns())


def read_dictionary(folder: Path, name: str, fetch: Fetch) -> Dictionary:
    """Read a folder in any of the known formats.

    Args:
        folder: Where the files are.
        name: What the dictionary is called in messages and records.
        fetch: For files that the folder names but does not hold.

    Raises:
        TracerError: It is in none of the formats, or its files are not sound.
    """
    _require_plain_files(folder)
    for each in FORMATS:
        if each.is_here(folder):
            return each.read(folder, name, fetch)
    raise UsageError(f"{folder}: {_why_not(folder)}")


def _require_plain_files(folder: Path) -> None:
    """Refuse pipes and devices, which may never end, where a format's files may lie."""
    for path in sorted((*folder.glob("*"), *folder.glob("*/*"))):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path}: this is not a regular file.")


def _why_not(folder: Path) -> str:
    for each in FORMATS:
        if any(any(folder.glob(pattern)) for pattern in each.bare_weights):
            return each.bare_reason
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        return f"only pickled weights ({pickled[0]}), which can run code when read."
    *others, last = (f"{each.marker} ({each.name})" for each in FORMATS)
    return f"no dictionary: it has no {', '.join(others)} or {last}."
