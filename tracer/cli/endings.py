"""How a command ends: streams to write to, sentences for what failed, one exit code of many."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tracer.errors import (
    EXIT_ENGINE,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONFIRMED,
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    EXIT_USAGE,
    UsageError,
)
from tracer.terminal import Screen

WORST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_ENGINE,
    EXIT_USAGE,
    EXIT_NOT_CONFIRMED,
    EXIT_OK,
    EXIT_NOTHING_SELECTED,
)
"""The worst ending of several is the command's: what was not judged outweighs what was.

Files that were skipped weigh nothing beside others, but where all were, nothing came out as
expected either.
"""
_OUT_OF_OUR_HANDS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def stdout() -> Screen:
    """Where results go."""
    return Screen(sys.stdout)


def stderr() -> Screen:
    """Where progress and mistakes go."""
    return Screen(sys.stderr)


def worst(codes: Iterable[int]) -> int:
    """The exit code of a command that ended so several times; 0 for none."""
    return min(codes, key=WORST_FIRST.index, default=EXIT_OK)


def os_sentence(error: OSError) -> str:
    """What the operating system refused, and on which file."""
    what = os.strerror(error.errno) if error.errno else str(error)
    return f"{error.filename}: {what}." if error.filename else f"{what}."


def os_exit_code(error: OSError) -> int:
    """3 where the disk is at fault, 4 where another path or permission helps."""
    return EXIT_ENGINE if error.errno in _OUT_OF_OUR_HANDS else EXIT_USAGE


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
