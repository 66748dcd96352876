"""Where a command writes, and how it ends.

It writes to the two streams of a terminal, JSON documents and folders. It ends with one exit code
for all its files, and with a sentence for each thing that could not be done.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from tracer.errors import (
    EXIT_CONSISTENT,
    EXIT_ENGINE,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONFIRMED,
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    EXIT_USAGE,
    UsageError,
)
from tracer.record.files import require_plain, write_text
from tracer.report.screen import Screen, silence

if TYPE_CHECKING:
    from tracer.record.verdict import Verdict

STDOUT = Path("-")
"""The file name that means standard output."""
WORST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_ENGINE,
    EXIT_USAGE,
    EXIT_NOT_CONFIRMED,
    EXIT_CONSISTENT,
    EXIT_OK,
    EXIT_NOTHING_SELECTED,
)
"""Of several files the first code that occurs is the command's.

A file that was skipped counts only where all were.
"""
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def stdout() -> Screen:
    """Where results go; nowhere for a process that was started without it (`>&-`)."""
    return Screen(sys.stdout or StringIO())


def stderr() -> Screen:
    """Where progress and mistakes go, or nowhere."""
    return Screen(sys.stderr or StringIO())


def screen_beside(*documents: Path | None) -> Screen:
    """Where results go for people: standard error where a document takes standard output."""
    return stderr() if STDOUT in documents else stdout()


def write_stdout(text: str) -> None:
    """Write a document to standard output as UTF-8, whatever the terminal's encoding.

    Half of a surrogate pair, as a file's name may hold, becomes its escape, as JSON has it too.
    """
    if not sys.stdout:
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)


def write_document(path: Path, text: str) -> None:
    """Write a text to the file that an option names; `-` is standard output."""
    if path == STDOUT:
        write_stdout(text)
    else:
        write_text(path, text)


def write_dated(home: Path, name: str, document: str, page: str) -> Path:
    """Write a document and its page into a folder of their own, named by the time; give it back.

    Args:
        home: Where such folders are.
        name: Of both files, without the ending.
        document: JSON.
        page: HTML.
    """
    now = datetime.now(UTC)
    folder = home / f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
    folder.mkdir(parents=True)
    write_text(folder / f"{name}.json", document)
    write_text(folder / f"{name}.html", page)
    return folder


def print_table(
    screen: Screen, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[str]]
) -> None:
    """`Screen.table` for untrusted text without colours."""
    screen.table(columns, [[screen.text(cell) for cell in row] for row in rows])


def require_writable(folder: Path, option: str) -> None:
    """Make the folder, and find out now, not after minutes of work, whether it can be written to.

    Raises:
        UsageError: It cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"{option} {folder}: cannot write there ({what}).") from error


def require_writable_file(path: Path | None, option: str) -> None:
    """Find out the same of a file, unless it is none or standard output.

    Raises:
        UsageError: It cannot be written, or is something else than a file.
    """
    if path is None or path == STDOUT:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path}: this is a folder, not a file.")
    require_plain(path)
    require_writable(path.parent, option)


def percent(share: float) -> str:
    """`21 %`; below one percent with two digits, so that little does not read as nothing."""
    value = 100 * share
    return f"{value:.2g} %" if 0 < value < 1 else f"{value:.0f} %"


def worst(codes: Iterable[int]) -> int:
    """The exit code of a command whose files ended with these codes; 0 for none."""
    return min(codes, key=WORST_FIRST.index, default=EXIT_OK)


def code_of(verdict: Verdict, *, strict: bool = True) -> int:
    """0 as expected, 6 consistent where the file expected it confirmed, else 1.

    Args:
        verdict: Of the run.
        strict: Whether a consistent verdict is less than the file expected; else it is enough.
    """
    if verdict.as_expected:
        return EXIT_OK
    if verdict.verdict == "consistent" and verdict.expected == "confirmed":
        return EXIT_CONSISTENT if strict else EXIT_OK
    return EXIT_NOT_CONFIRMED


def nothing_selected(why: str) -> int:
    """Say on standard error why there is nothing to do; returns the exit code."""
    stderr().say(f"nothing selected: {why}")
    return EXIT_NOTHING_SELECTED


def os_sentence(error: OSError) -> str:
    """What the operating system refused, and on which file."""
    what = os.strerror(error.errno) if error.errno else str(error)
    return f"{error.filename}: {what}." if error.filename else f"{what}."


def os_exit_code(error: OSError) -> int:
    """3 where the disk is at fault, 4 where another path or permission helps."""
    return EXIT_ENGINE if error.errno in _DISK_FAULTS else EXIT_USAGE
