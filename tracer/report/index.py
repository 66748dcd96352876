"""The front page of several runs, and the page of a run that cannot be shown.

Each run is a row with a link to its report. Of what cannot be shown, the sentence is the one that
the list of runs, the dashboard and the command line say; beside it stand what can be done and what
is still readable.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import quote

from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.wording import exact, p_text
from tracer.record.family import FamilyMember, HypothesisFamily
from tracer.record.record import Record
from tracer.record.run_folder import UnreadableRun
from tracer.record.verdict import Verdict
from tracer.report.headline import VERDICTS, count, verdict_view
from tracer.report.limits import MAX_FILE, Cut, cut, middle_out
from tracer.report.markdown import escape
from tracer.report.render import fill_template
from tracer.report.summaries import intervention_summary
from tracer.report.text import NONE

MAX_EFFECTS = 12
"""Interventions of one run."""
UNREAD, UNREAD_ICON = "unread", NONE
"""Of a run that is still being measured, or whose files cannot be read."""


@dataclass(frozen=True)
class IndexEntry:
    """A run and where its report lies."""

    record: Record
    verdict: Verdict
    href: str | None
    """Path of the report, relative to the index; None where it was not written."""


@dataclass(frozen=True)
class UnreadEntry:
    """A run that cannot be shown, and why."""

    run: str
    hypothesis: str
    started: str | None
    model: str | None
    problem: str
    href: str | None = None
    """Of a page that lies in its folder all the same, as of an older tracer's report."""


@dataclass(frozen=True)
class IndexRow:
    """A run as a row."""

    name: str
    run: str
    href: str | None
    """None where there is no report."""
    claim: str
    kind: str
    icon: str
    model: str
    when: str
    declared: str = ""
    effects: Cut[tuple[str, str]] = Cut(())
    tags: str = ""
    family: str = ""
    """What it came to among the hypotheses that it was run with."""


def render_index(
    entries: Sequence[IndexEntry | UnreadEntry],
    family: HypothesisFamily | None = None,
    note: str | None = None,
) -> str:
    """Several runs as one HTML page, in the order given.

    Args:
        entries: The runs.
        family: Those that were run together, where a false discovery rate was asked for.
        note: A sentence to put above the table instead, as why the family cannot be read.
    """
    rows = tuple(
        _row(entry, family) if isinstance(entry, IndexEntry) else _unread(entry)
        for entry in entries
    )
    kinds = [row.kind for row in rows]
    shown = VERDICTS | ({UNREAD: UNREAD_ICON} if UNREAD in kinds else {})
    told = note if family is None else _family(family)
    return fill_template("index.html.j2", counts=count(shown, kinds), rows=rows, family=told)


def _family(family: HypothesisFamily) -> str:
    return (
        f"Of {family.size} hypotheses that were run together, {family.n_discoveries} are "
        f"discoveries at a false discovery rate of {exact(family.rate)} (Benjamini and Yekutieli), "
        "beside each file's own correction."
    )


def _in_family(member: FamilyMember | None, verdict: str) -> str:
    if member is None:
        return ""
    if member.verdict != verdict:
        return f"{member.verdict} when it was run with others, judged again since"
    if member.reason is not None:
        return f"not in the family: {member.reason}"
    if member.p is None or member.q is None:
        return "no discovery: not upheld"
    what = "discovery" if member.discovery else "no discovery"
    return f"{what}: p {p_text(member.p)}, adjusted {p_text(member.q)}"


def _unread(entry: UnreadEntry) -> IndexRow:
    return IndexRow(
        name=entry.hypothesis,
        run=entry.run,
        href=_link(entry.href),
        claim=entry.problem,
        kind=UNREAD,
        icon=UNREAD_ICON,
        model=entry.model or NONE,
        when=_when(entry.started or NONE),
    )


def _link(href: str | None) -> str | None:
    return None if href is None else quote(os.fsencode(href), safe="/")


def _when(started: str) -> str:
    return started.replace("T", " ").removesuffix("Z")[:16]


def _row(entry: IndexEntry, family: HypothesisFamily | None) -> IndexRow:
    record = entry.record
    return IndexRow(
        kind=entry.verdict.verdict,
        icon=VERDICTS[entry.verdict.verdict],
        tags=", ".join(record.hypothesis.tags),
        name=record.hypothesis.hypothesis,
        run=record.id,
        href=_link(entry.href),
        claim=entry.verdict.claim,
        declared=verdict_view(entry.verdict).declared,
        family="" if family is None else _in_family(family.of(record.id), entry.verdict.verdict),
        effects=_effects(record),
        model=f"{record.model.name}, {record.basis}",
        when=_when(record.started),
    )


def _effects(record: Record) -> Cut[tuple[str, str]]:
    """The interventions' median effects, held-out prompts where there are any."""
    names = [name for name in record.interventions if name in record.hypothesis.interventions]
    shown = cut(names, MAX_EFFECTS, "interventions", "its report and run.json")
    unjudged = JudgedOutcomes(record.hypothesis)
    effects: list[tuple[str, str]] = []
    for name in shown.kept:
        summary = intervention_summary(record, name, {}, unjudged)
        split = summary.held_out or summary.discovery
        if split is not None and split.effect:
            effects.append((f"{name}: {summary.measure}", split.effect))
    return Cut(tuple(effects), shown.note)


FILE = "FILE"
"""Stands for a hypothesis file whose name is not known."""


class Remedy(NamedTuple):
    """One thing to do."""

    reason: str
    command: str


def render_unread(
    entry: UnreadEntry, status: Literal["measuring", "complete"] | None, found: UnreadableRun
) -> str:
    """A run that cannot be shown as a page, in the style of a report.

    Args:
        entry: what a list of runs says of it.
        status: of the record, None where it cannot be read.
        found: what is left of it.
    """
    facts = (entry.run, entry.model, entry.started and entry.started.replace("T", " ")[:16])
    return fill_template(
        "unread.html.j2",
        kind=UNREAD,
        icon=UNREAD_ICON,
        entry=entry,
        facts=[fact for fact in facts if fact],
        found=found,
        remedies=remedies(entry.run, status, found),
        yaml=None if found.yaml is None else middle_out(found.yaml, MAX_FILE),
    )


def unread_markdown(entry: UnreadEntry) -> str:
    """The same for a pull request, in two lines."""
    head = f"### {UNREAD_ICON} {UNREAD}: {escape(entry.hypothesis)}"
    return f"{head}\n\n{escape(entry.problem)}\n\nRun {escape(entry.run)}\n"


def remedies(
    run: str, status: Literal["measuring", "complete"] | None, found: UnreadableRun
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
