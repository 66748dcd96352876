"""A run as Markdown: what a reviewer of a pull request reads before opening the report.

Text of a run is hostile here too: nothing in it may become a link, a mention, an image or markup.
"""

from __future__ import annotations

import re

from tracer.record.record import Record
from tracer.record.verdict import Outcome, Verdict, rank
from tracer.report.headline import OUTCOMES, VERDICTS, counted_apart, verdict_view
from tracer.report.sections.provenance import command
from tracer.report.text import clean, shorten

_MAX_ROWS = 30
_LONGEST = 300
_SPECIAL = re.compile(r"([\\`*_\[\]|~])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "$": "&#36;", "#": "&#35;"}


def markdown(record: Record, verdict: Verdict) -> str:
    """One run: verdict, claim, the expectations worst first, caveats, and how to measure it again.

    GitHub's Markdown; ends with a line break.
    """
    parts = [
        f"### {VERDICTS[verdict.verdict]} {verdict.verdict}: {escape(verdict.hypothesis)}",
        f"**Claim:** {escape(verdict.claim)}",
        " ".join(part for part in (escape(verdict.reason), verdict_view(verdict).declared) if part),
        _table(verdict),
        _list("Be careful about", (*verdict.post_hoc, *verdict.caveats, *record.notes)),
        f"Run {escape(record.id)} on {escape(record.model.name)}, {escape(record.basis)} basis. "
        f"Measure it again: {_code(command(record))}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text of a stranger as text, on one line."""
    line = " ".join(shorten(str(clean(text)), _LONGEST).split())
    safe = "".join(_ENTITIES.get(char, char) for char in line)
    bare = safe.replace("://", ":&#47;/").replace("www.", "www&#46;")
    return _SPECIAL.sub(r"\\\1", bare)


def _code(text: str) -> str:
    """A code span that no back tick inside can end."""
    line = " ".join(str(clean(text)).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"


def _table(verdict: Verdict) -> str:
    if not verdict.outcomes:
        return ""
    rows = sorted(verdict.outcomes, key=rank)
    lines = [
        counted_apart(verdict.outcomes),
        "",
        "| | Tested | Prompts | Expected | Observed |",
        "| --- | --- | --- | --- | --- |",
        *(_row(outcome) for outcome in rows[:_MAX_ROWS]),
    ]
    if len(rows) > _MAX_ROWS:
        lines += ["", f"…and {len(rows) - _MAX_ROWS:,} more, in the report."]
    return "\n".join(lines)


def _row(outcome: Outcome) -> str:
    observed = "; ".join(part for part in (outcome.observed, outcome.reason or "") if part)
    cells = (
        f"{OUTCOMES[outcome.outcome]} {outcome.outcome}",
        f"{escape(outcome.intervention)}: {escape(outcome.expectation)}",
        outcome.split,
        escape(outcome.expected),
        escape(observed),
    )
    return f"| {' | '.join(cells)} |"


def _list(title: str, lines: tuple[str, ...]) -> str:
    if not lines:
        return ""
    n_more = len(lines) - _MAX_ROWS
    more = [f"- …and {n_more:,} more, in verdict.json."] if n_more > 0 else []
    shown = [f"- {escape(line)}" for line in lines[:_MAX_ROWS]]
    return "\n".join((f"**{title}**", "", *shown, *more))
