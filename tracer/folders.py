"""Whether a word of the user's is a folder here."""

from __future__ import annotations

from pathlib import Path


def is_folder(name: str) -> bool:
    """Whether there is such a folder; the empty name is none."""
    try:
        return name != "" and Path(name).is_dir()
    except (OSError, ValueError):  # too long, or with a null character
        return False
