"""`tracer show` and `judge`: what a run says, read again without model or torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.documents.listing import ShownRun
from tracer.cli.output import (
    code_of,
    require_writable_file,
    screen_beside,
    stdout,
    write_document,
)
from tracer.errors import EXIT_OK
from tracer.hypothesis.load import read
from tracer.record.files import path_text
from tracer.record.runs import resolve
from tracer.report.run import Run, judge_folder
from tracer.report.terminal import print_verdict


def show(
    run: options.RunArgument,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Every prompt under its expectation.")
    ] = False,
    json_: Annotated[Path | None, options.json_file("The same")] = None,
    in_: options.In = options.REPORTS,
) -> int:
    """Print the verdict table of a run again; nothing is measured or written.

    tracer show two_hop

    tracer show reports/two_hop/RUN -v
    """
    require_writable_file(json_, "--json")
    opened = Run.open(resolve(run, in_))
    print_verdict(screen_beside(json_), opened.verdict, opened.facts, per_prompt=verbose)
    if json_ is not None:
        write_document(json_, shown(opened).written())
    return EXIT_OK


def shown(run: Run) -> ShownRun:
    """A run, for programs."""
    return ShownRun(
        run=run.record.id,
        files=tuple(map(path_text, run.facts.paths)),
        seconds=run.facts.seconds,
        as_expected=run.verdict.as_expected,
        verdict=run.verdict,
    )


def judge(
    run: options.RunArgument,
    hypothesis: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Judge by this file's expectations instead.")
    ] = None,
    in_: options.In = options.REPORTS,
) -> int:
    """Judge a run again from what was measured, and rewrite its verdict and report.

    With another file's expectations, the verdict says what was changed after measuring.

    tracer judge two_hop

    tracer judge two_hop --hypothesis hypotheses/two_hop.yaml
    """
    declared = read(str(hypothesis)).hypothesis if hypothesis else None
    found = judge_folder(resolve(run, in_), declared).save()
    print_verdict(stdout(), found.verdict, found.facts)
    return code_of(found.verdict)
