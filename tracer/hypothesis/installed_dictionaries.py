"""Dictionaries that installed packages offer under a short name.

A package offers one by an entry point of the group `tracer.dictionaries`: its name is what
`features:` takes, its value the folder with the dictionary's files, dotted like a module and inside
the package's own files. Metadata and file names are read; nothing of a package is imported or run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

from tracer.errors import UsageError, show

GROUP = "tracer.dictionaries"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FOLDER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class PackagedDictionary(NamedTuple):
    """A dictionary that a data package of this project brings, installed or not."""

    name: str
    summary: str
    distribution: str
    install: str
    """What to do to have it."""


_PACKAGED = (
    PackagedDictionary(
        "gemma-3-270m-transcoders",
        "transcoders of gemma-3-270m, 18 × 2,048 features, for `features:`",
        "tracer-gemma-3-270m-transcoders",
        "build its wheel with `python packages/gemma-3-270m-transcoders/build.py` in tracer's "
        "repository, and install that with pip",
    ),
)

PACKAGED: dict[str, PackagedDictionary] = {entry.name: entry for entry in _PACKAGED}


class InstalledDictionary(NamedTuple):
    """A dictionary in the folder of an installed package."""

    name: str
    distribution: str
    version: str
    folder: Path

    @property
    def place(self) -> str:
        """The source as records and messages name it."""
        return f"package {self.distribution} {self.version}"


def installed_names() -> tuple[str, ...]:
    """The names that installed packages offer, sound or not, in alphabetical order."""
    return tuple(sorted({entry.name for entry in _entries()}))


def find_installed(name: str) -> InstalledDictionary | None:
    """The installed dictionary of this name; None where no package offers one.

    Raises:
        UsageError: Two packages offer it, or the one that does has no such folder of its own.
    """
    if not _NAME.fullmatch(name):
        return None
    match [entry for entry in _entries() if entry.name == name]:
        case []:
            return None
        case [entry]:
            return _found(entry, _distribution(entry))
        case several:
            who = " and ".join(sorted(_told(_distribution(each)) for each in several))
            raise UsageError(
                f"features {name!r} are offered by {who}; uninstall one, or name a folder."
            )


def _entries() -> Iterator[EntryPoint]:
    return (entry for entry in entry_points(group=GROUP) if _NAME.fullmatch(entry.name))


def _distribution(entry: EntryPoint) -> Distribution:
    assert entry.dist is not None  # of what `entry_points` finds
    return entry.dist


def _told(distribution: Distribution) -> str:
    return f"{distribution.name} {distribution.version}"


def _found(entry: EntryPoint, distribution: Distribution) -> InstalledDictionary:
    """The folder, which must be among the files that were installed with the package."""
    who = f"features {entry.name!r}: the installed package {_told(distribution)}"
    if not _FOLDER.fullmatch(entry.value):
        raise UsageError(
            f"{who} offers {show(entry.value)}, which is no folder of a package; allowed are names "
            "joined by dots."
        )
    parts = tuple(entry.value.split("."))
    own = [file for file in distribution.files or () if file.parts[: len(parts)] == parts]
    root = Path(str(distribution.locate_file("")))
    folder = root.joinpath(*parts)
    is_inside = folder.resolve().is_relative_to(root.resolve())
    if not own or not is_inside or not folder.is_dir():
        raise UsageError(
            f"{who} has no files in {'/'.join(parts)}, which it offers; install it anew, as a "
            "wheel."
        )
    return InstalledDictionary(entry.name, distribution.name, distribution.version, folder)
