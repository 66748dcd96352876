"""`tracer judge` and `tracer report`: from saved measurements, with neither model nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.endings import require_writable, stderr, stdout
from tracer.cli.machine import write_stdout
from tracer.cli.pages import Unread, open_or_say, write_index, write_index_of_all
from tracer.errors import EXIT_NOT_CONFIRMED, EXIT_OK, EXIT_USAGE, UsageError
from tracer.hypothesis.load import read
from tracer.report.markdown import markdown as markdown_of
from tracer.report.unread import unread_markdown
from tracer.result import Run, judged
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
    found = judged(resolve(run, in_), declared).save()
    print_verdict(stdout(), found.verdict, found.facts)
    return EXIT_OK if found.verdict else EXIT_NOT_CONFIRMED


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

    A run that cannot be read gets a page that says why and what to do, and exit code 4.
    """
    if not run:
        return _all_of(in_, out, markdown=markdown)
    opened = [open_or_say(resolve(name, in_)) for name in run]
    if out is not None:
        require_writable(out.parent, "--out")
    if markdown:
        _as_markdown(opened, out)
    else:
        for path in _written(opened, out):
            stdout().say(str(path))
    return _ended(opened)


def _written(opened: Sequence[Run | Unread], out: Path | None) -> Iterator[Path]:
    """The pages, one after the other as they are written."""
    if out is not None and len(opened) == 1:
        yield _page(opened[0], out)
        return
    for each in opened:
        yield _page(each, None)
    if out is not None:
        yield write_index(out, opened)


def _page(run: Run | Unread, out: Path | None) -> Path:
    """The page of one run; the report an older tracer wrote of what this one cannot read stays."""
    if isinstance(run, Run):
        return run.report(out)
    if out is None and run.page.exists():
        stderr().say(f"{run.page}: an earlier page of this run, kept as it is.")
        return run.page
    return run.write(out or run.page)


def _ended(opened: Sequence[Run | Unread]) -> int:
    unread = [each for each in opened if isinstance(each, Unread)]
    for each in unread:
        stderr().say(each.problem)
    return EXIT_USAGE if unread else EXIT_OK


def _all_of(reports: Path, out: Path | None, *, markdown: bool) -> int:
    if out is not None or markdown:
        raise UsageError("--out and --markdown need a run: say which, e.g. `latest`.")
    if not reports.is_dir():
        raise UsageError(f"--in: there is no folder {reports}/; `tracer run` makes it.")
    require_writable(reports, "--in")
    stdout().say(str(write_index_of_all(reports)))
    return EXIT_OK


def _as_markdown(opened: Sequence[Run | Unread], out: Path | None) -> None:
    text = "\n".join(map(_markdown, opened))
    if out is None:
        write_stdout(text)
    else:
        write_text(out, text)
        stdout().say(str(out))


def _markdown(run: Run | Unread) -> str:
    if isinstance(run, Unread):
        return unread_markdown(run.entry)
    return markdown_of(run.record, run.verdict)
