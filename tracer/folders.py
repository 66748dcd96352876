"""Whether a word of the user's is a folder here, or can only be meant as one."""

from __future__ import annotations

import os
from pathlib import Path


def is_folder(name: str) -> bool:
    """Whether there is such a folder; the empty name is none."""
    try:
        return name != "" and Path(name).is_dir()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def looks_like_folder(name: str) -> bool:
    """Whether it is a folder, or is written as only folders are."""
    return name.startswith((".", "~", os.sep)) or "\\" in name or is_folder(name)
