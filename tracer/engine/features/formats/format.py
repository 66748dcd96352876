"""What a dictionary format is: how its folders are recognised, downloaded and read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.engine.features.dictionary import Dictionary
from tracer.hypothesis.names import HubFile

Fetch = Callable[[Sequence[HubFile]], Sequence[Path]]
"""Brings files of the hub here, in the same order."""


@dataclass(frozen=True)
class Format:
    """One format of dictionaries; `registry.FORMATS` lists them all."""

    name: str
    """What its authors or users call it."""
    marker: str
    """What a folder is recognised by, in words for an error message."""
    is_here: Callable[[Path], bool]
    """Whether a folder has the marker; contents are not checked."""
    read: Callable[[Path, str, Fetch], Dictionary]
    """Read a folder that has the marker.

    It gets the folder, what the dictionary is called in messages and records, and how to bring
    files that the folder names but does not hold. It raises `TracerError` where a file is missing
    or unsound, or files contradict each other.
    """
    hub_patterns: tuple[str, ...] = ()
    """Files fetched of a folder on the hub; () for a format whose layers lie in subfolders."""
    bare_weights: tuple[str, ...] = ()
    """Patterns of weights that say nothing without the marker."""
    bare_reason: str = ""
    """What to tell of a folder that holds such weights alone; a sentence."""
