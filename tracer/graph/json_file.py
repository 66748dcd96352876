"""A graph JSON from anywhere, as plain data: a file of bounded size that is JSON, or a sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from pydantic_core import from_json

from tracer.errors import UsageError
from tracer.graph.limits import MAX_JSON_BYTES


class JsonFile(NamedTuple):
    """What stands in it, and what identifies it."""

    data: object
    sha256: str


def read(path: Path) -> JsonFile:
    """Read a file whole.

    Raises:
        UsageError: It is missing, unreadable, over 100 MB, or no JSON.
    """
    content = _content(path)
    try:
        data = from_json(content, allow_inf_nan=False)
    except ValueError as problem:
        raise UsageError(f"{path}: cut short, or no JSON ({problem}).") from None
    return JsonFile(data, hashlib.sha256(content).hexdigest())


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder, not a file.")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: this is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file.") from None
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path}: it cannot be read ({problem}).") from None
    if len(content) > MAX_JSON_BYTES:
        raise UsageError(f"{path}: the file is larger than {MAX_JSON_BYTES / 1e6:.0f} MB.")
    return content
