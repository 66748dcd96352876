"""`tracer judge` and `tracer report`: from saved measurements, with neither model nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.endings import require_writable, stdout
from tracer.cli.machine import write_stdout
from tracer.cli.pages import write_index, write_index_of_all
from tracer.errors import EXIT_NOT_CONFIRMED, EXIT_OK, UsageError
from tracer.hypothesis.load import read
from tracer.report.markdown import markdown as markdown_of
from tracer.result import Run
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
        list[str] | None,
        typer.Argument(metavar="[RUN...]", help=options.RUN_HELP, show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="One run: write its report there. Several: write a page there that links them.",
        ),
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown",
            help="A summary for a pull request instead, to --out or standard output.",
        ),
    ] = False,
    in_: options.In = options.REPORTS,
) -> int:
    """Write the HTML report of runs again, e.g. with a newer tracer.

    tracer report two_hop

    tracer report two_hop --out two_hop.html

    tracer report two_hop multilingual --out reports/index.html

    tracer report two_hop --markdown >> "$GITHUB_STEP_SUMMARY"

    Without a run it writes the page that lists all of them, index.html in their folder.
    """
    if not run:
        return _all_of(in_, out, markdown=markdown)
    opened = [Run.open(resolve(name, in_)) for name in run]
    if out is not None:
        require_writable(out.parent, "--out")
    if markdown:
        return _as_markdown(opened, out)
    if out is not None and len(opened) == 1:
        written = [opened[0].report(out)]
    else:
        written = [each.report() for each in opened]
    if out is not None and len(opened) > 1:
        written.append(write_index(out, opened))
    for path in written:
        stdout().say(str(path))
    return EXIT_OK


def _all_of(reports: Path, out: Path | None, *, markdown: bool) -> int:
    if out is not None or markdown:
        raise UsageError("--out and --markdown need a run: say which, e.g. `latest`.")
    require_writable(reports, "--in")
    stdout().say(str(write_index_of_all(reports)))
    return EXIT_OK


def _as_markdown(opened: Sequence[Run], out: Path | None) -> int:
    text = "\n".join(markdown_of(each.record, each.verdict) for each in opened)
    if out is None:
        write_stdout(text)
    else:
        write_text(out, text)
        stdout().say(str(out))
    return EXIT_OK
