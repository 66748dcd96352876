"""How a command ends: one exit code for all its files, and sentences for what could not be done."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from tracer.cli.output import stderr
from tracer.errors import (
    EXIT_ENGINE,
    EXIT_INTERRUPTED,
    EXIT_NOT_CONFIRMED,
    EXIT_NOTHING_SELECTED,
    EXIT_OK,
    EXIT_USAGE,
)

WORST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_ENGINE,
    EXIT_USAGE,
    EXIT_NOT_CONFIRMED,
    EXIT_OK,
    EXIT_NOTHING_SELECTED,
)
"""Of several files the first code that occurs is the command's.

A file that was skipped counts only where all were.
"""
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def worst(codes: Iterable[int]) -> int:
    """The exit code of a command whose files ended with these codes; 0 for none."""
    return min(codes, key=WORST_FIRST.index, default=EXIT_OK)


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
