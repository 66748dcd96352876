"""`tracer judge` and `tracer report`: from saved measurements, with neither model nor torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.endings import require_writable, stdout
from tracer.errors import EXIT_NOT_CONFIRMED, EXIT_OK
from tracer.hypothesis.load import read
from tracer.report.index import IndexEntry, render_index
from tracer.result import REPORT, Run
from tracer.runs import resolve, write_text
from tracer.terminal import print_verdict


def judge(
    run: options.RunArgument,
    hypothesis: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Judge by this file's expectations instead."),
    ] = None,
    in_: options.In = options.REPORTS,
) -> int:
    """Judge a run again from what was measured, and rewrite its verdict and report.

    With another file's expectations, the verdict says what was changed after measuring.

    tracer judge two_hop

    tracer judge two_hop --hypothesis hypotheses/two_hop.yaml
    """
    declared = read(str(hypothesis)).hypothesis if hypothesis else None
    judged = Run.open(resolve(run, in_)).judge(declared).save()
    print_verdict(stdout(), judged.verdict, judged.facts)
    return EXIT_OK if judged.verdict else EXIT_NOT_CONFIRMED


def report(
    run: Annotated[
        list[str], typer.Argument(metavar="RUN...", help=options.RUN_HELP, show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="One run: write its report there. Several: write a page there that links them.",
        ),
    ] = None,
    in_: options.In = options.REPORTS,
) -> int:
    """Write the HTML report of runs again, e.g. with a newer tracer.

    tracer report two_hop

    tracer report two_hop --out two_hop.html

    tracer report two_hop multilingual --out reports/index.html
    """
    opened = [Run.open(resolve(name, in_)) for name in run]
    if out is not None:
        require_writable(out.parent, "--out")
    if out is not None and len(opened) == 1:
        written = [opened[0].report(out)]
    else:
        written = [each.report() for each in opened]
    if out is not None and len(opened) > 1:
        write_text(out, render_index([_entry(each, out.parent) for each in opened]))
        written.append(out)
    for path in written:
        stdout().say(str(path))
    return EXIT_OK


def _entry(run: Run, page_folder: Path) -> IndexEntry:
    href = Path(os.path.relpath(run.path / REPORT, page_folder)).as_posix()
    return IndexEntry(run.record, run.verdict, href)
