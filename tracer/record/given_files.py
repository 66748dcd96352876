"""Files that a user gives: text by the line and JSON, each mistake with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from tracer.errors import UsageError


def require_file(path: Path) -> None:
    """Refuse what is no regular file that is there.

    Raises:
        UsageError: It is none.
    """
    if not path.is_file():
        what = "this is not a regular file" if path.exists() else "no such file"
        raise UsageError(f"{path}: {what}.")


def numbered_lines(path: Path, file: BufferedIOBase, longest: int) -> Iterator[tuple[int, bytes]]:
    """Lines of a file by their number, never more than one in memory.

    Raises:
        UsageError: One is of more than `longest` bytes.
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest:
            raise UsageError(f"{path}:{number}: a line of more than {longest >> 20} MiB.")
        yield number, line


def json_of(text: str | bytes, where: str) -> Any:
    """The value that a text is in JSON.

    Raises:
        UsageError: It is none; the sentence begins with `where`.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not valid JSON: {error}.") from None
