"""Names of files as text: a system's names are bytes, and not all of them are UTF-8."""

from __future__ import annotations

import os
from pathlib import PurePath


def spelled(path: PurePath | str) -> str:
    """A path that every file and page can hold: bytes that are no UTF-8 are spelled."""
    name = path if isinstance(path, str) else path.as_posix()
    return os.fsencode(name).decode("utf-8", "backslashreplace")
