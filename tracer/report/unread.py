"""The page of a run that cannot be shown: what is wrong, what can be done, what is still readable.

Its sentence is the one that the list of runs, the dashboard and the command line say.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.report.index import UNREAD, UNREAD_ICON, UnreadEntry
from tracer.report.limits import MAX_FILE, middle_out
from tracer.report.markdown import escape
from tracer.report.render import fill_template
from tracer.salvage import Salvage

FILE = "FILE"
"""Stands for a hypothesis file whose name is not known."""


class Remedy(NamedTuple):
    """One thing to do."""

    told: str
    command: str


@dataclass(frozen=True)
class UnreadPage:
    """Everything `unread.html.j2` writes out."""

    title: str
    icon: str
    kind: str
    facts: tuple[str, ...]
    problem: str
    remedies: tuple[Remedy, ...]
    claim: str | None
    judged: str | None
    yaml: str | None


def render_unread(
    entry: UnreadEntry, status: Literal["measuring", "complete"] | None, found: Salvage
) -> str:
    """A run that cannot be shown as a page, in the style of a report.

    Args:
        entry: what a list of runs says of it.
        status: of the record, None where it cannot be read.
        found: what is left of it.
    """
    told = (entry.run, entry.model, entry.started and entry.started.replace("T", " ")[:16])
    page = UnreadPage(
        title=entry.hypothesis,
        icon=UNREAD_ICON,
        kind=UNREAD,
        facts=tuple(each for each in told if each),
        problem=entry.problem,
        remedies=remedies(entry.run, status, found),
        claim=found.claim,
        judged=found.judged,
        yaml=None if found.yaml is None else middle_out(found.yaml, MAX_FILE),
    )
    return fill_template("unread.html.j2", page=page)


def unread_markdown(entry: UnreadEntry) -> str:
    """The same for a pull request, in two lines."""
    head = f"### {UNREAD_ICON} {UNREAD}: {escape(entry.hypothesis)}"
    return f"{head}\n\n{escape(entry.problem)}\n\nRun {escape(entry.run)}\n"


def remedies(
    run: str, status: Literal["measuring", "complete"] | None, found: Salvage
) -> tuple[Remedy, ...]:
    """What to do, the likeliest first; `run` is its id."""
    again = shlex.join(["tracer", "run", found.file]) if found.file else f"tracer run {FILE}"
    if status == "measuring":
        return (
            Remedy("If it is still being measured, write this page again once it has ended:",
                   shlex.join(["tracer", "report", run])),
            Remedy("If it was stopped, this takes it up where it stopped:", again),
        )  # fmt: skip
    if found.can_be_judged:
        return (
            Remedy("What was measured is sound. Judge it again, which writes verdict and report:",
                   shlex.join(["tracer", "judge", run])),
        )  # fmt: skip
    return (
        Remedy("Measure it again; what lies in this folder stays as it is:", again),
        Remedy("See which runs there are:", "tracer list --runs"),
    )
