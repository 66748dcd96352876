"""What earlier runs came to, as the command line speaks of it."""

from __future__ import annotations

from pathlib import Path

from tracer.runs import RunEntry, find_runs


def latest_by_name(reports: Path) -> dict[str, RunEntry]:
    """The newest run of every hypothesis that has one."""
    return {entry.hypothesis: entry for entry in find_runs(reports)}


def not_as_expected(reports: Path) -> frozenset[str]:
    """Hypotheses whose latest run was not as expected, or came to no verdict at all."""
    latest = latest_by_name(reports)
    return frozenset(name for name, entry in latest.items() if not entry.as_expected)


def in_a_word(entry: RunEntry) -> str:
    """The verdict, or why there is none."""
    if entry.problem is not None:
        return "unreadable"
    if entry.status == "measuring":
        return "unfinished"
    if entry.verdict is None:
        return "not judged"
    return entry.verdict + (" as expected" if entry.as_expected else ", not as expected")
