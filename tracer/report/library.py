"""The library as a page of Markdown: every hypothesis, and what its own latest run came to.

A claim, a source or a name is text out of a file: it is escaped, so that it can be neither markup
nor a cell's end.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from tracer.hypothesis.spec import Hypothesis
from tracer.record.runs import RunEntry
from tracer.record.verdict import VerdictName
from tracer.report.headline import safe_link

_MARKUP = re.compile(r"([\\`*_\[\]|#~])")
_HEADINGS = ("hypothesis", "claim", "source", "verdict", "model", "date", "run")


@dataclass(frozen=True)
class LibraryEntry:
    """A hypothesis, where its file lies, and a run of it as it now is."""

    hypothesis: Hypothesis
    href: str | None
    """Path of the file, relative to the page; None where it is not there."""
    run: RunEntry | None
    report: str | None
    """Path of the run's report, relative to the page; None where the page has no links to runs."""


OF_FILES = """# The library

Every hypothesis that comes with tracer, and the verdict of a run of it. This page is written by

    tracer run hypotheses/
    tracer library hypotheses/ hypotheses/*/ --no-links --out docs/library.md

from the runs under `reports/`. These are not kept in the repository, but for the report of one of
`two_hop`, `reports/sample/two_hop.html`; without `--no-links` the page links the reports that are
there. What was chosen on which prompts stands in the comments of each file.
*As stated* means that the file declares this verdict: a failure that is published. A file says so
of its own model; where it was run on another one as well, that is a row below, and is not counted.
"""
OF_RUNS = """# Hypotheses that were run

What the newest run of each declares, and its verdict on each model. `tracer report` writes this
page from the runs in this folder. *As stated* means that the file declares this verdict.
"""


def render_library(entries: Sequence[LibraryEntry], head: str = OF_FILES) -> str:
    """The page, its rows in the order given, under a title with what it lists."""
    rows = [_HEADINGS, ("---",) * len(_HEADINGS), *(_row(entry) for entry in entries)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    return f"{head}\n{_counts(entries)}\n\n{table}\n"


def _counts(entries: Sequence[LibraryEntry]) -> str:
    files = {(entry.href, entry.hypothesis.hypothesis): entry for entry in reversed(entries)}
    verdicts = [entry.run.verdict if entry.run else None for entry in files.values()]
    named = [
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in ("confirmed", "consistent", "refuted", "inconclusive")
    ]
    return f"{len(files)} hypotheses: {', '.join(named)}, {verdicts.count(None)} without a run."


def _row(entry: LibraryEntry) -> tuple[str, ...]:
    declared, run = entry.hypothesis, entry.run
    return (
        _link(declared.hypothesis, entry.href) if entry.href else _escaped(declared.hypothesis),
        _escaped(declared.claim),
        _source(declared.source) if declared.source else "",
        _verdict(run.verdict, declared.expected) if run else "not run",
        _escaped((run.model if run else None) or declared.model_spec.name),
        (run.started or "")[:10] if run else "",
        _report(run, entry.report) if run else "",
    )


def _report(run: RunEntry, report: str | None) -> str:
    stamp = run.id.rpartition("/")[2]
    return _link(stamp, report) if report else _escaped(stamp)


def _verdict(verdict: VerdictName | None, expected: VerdictName) -> str:
    if verdict != expected:
        return f"{verdict}, **not** as stated"
    return verdict if verdict == "confirmed" else f"{verdict}, as stated"


def _source(source: str) -> str:
    """A link where a browser would fetch it as a page; whatever else was written stays text."""
    link = safe_link(source)
    return _escaped(source) if link is None else _link(urlsplit(link).netloc, link)


def _link(text: str, href: str) -> str:
    return f"[{_escaped(text)}]({quote(os.fsencode(href), safe='/:#?=&%.-_')})"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
