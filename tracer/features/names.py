"""Which words may stand for features, told before any model is loaded."""

from __future__ import annotations

from tracer.errors import UsageError
from tracer.features.registry import DICTIONARIES
from tracer.folders import is_folder
from tracer.hypothesis.problem import did_you_mean, shorten

NEURONS = "neurons"
"""The basis that every model has."""
_MARKS = "/\\.~"
"""A word with one of these may be an address or a folder."""


def require_possible(name: str) -> None:
    """Refuse a word that cannot stand for features.

    Raises:
        UsageError: It is no known name, no folder and nothing like an address.
    """
    wrong = misnamed(name)
    if wrong:
        raise UsageError(wrong)


def misnamed(name: str) -> str | None:
    """Why a word cannot stand for features; nothing is told of addresses that do not exist."""
    if name in (NEURONS, *DICTIONARIES) or any(mark in name for mark in _MARKS) or is_folder(name):
        return None
    return unknown_features(name)


def unknown_features(name: str) -> str:
    """The sentence for a name that nothing answers to: the nearest, the known, what else may be."""
    known = [NEURONS, *DICTIONARIES]
    return (
        f"unknown features {shorten(name)!r}.{did_you_mean(name[:200], known)} "
        f"Known names: {', '.join(known)}. Otherwise give a folder, or a Hugging Face id of the "
        "form organisation/name[/folder][@revision]."
    )
