"""`tracer report`: pages of runs, pages that list runs, and a summary in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.output import require_writable, stderr, stdout, write_stdout
from tracer.cli.pages import UnopenedRun, is_page, listed_run, opened_run, write_pages_of_all
from tracer.errors import EXIT_OK, EXIT_USAGE, UsageError
from tracer.record.files import write_text
from tracer.record.registration import REGISTERED
from tracer.record.run_folder import is_run, read_unreadable
from tracer.record.runs import resolve
from tracer.report.index import render_index, render_unread, unread_markdown
from tracer.report.markdown import markdown as markdown_of
from tracer.report.run import Run


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
            "--markdown", help="A summary for a pull request instead, to --out or standard output."
        ),
    ] = False,
    in_: options.In = options.REPORTS,
) -> int:
    """Write the HTML report of runs again, e.g. with a newer tracer.

    tracer report two_hop

    tracer report two_hop --out two_hop.html

    tracer report two_hop multilingual --out reports/index.html

    tracer report two_hop --markdown >> "$GITHUB_STEP_SUMMARY"

    Without a run it gathers all of them, e.g. those of several machines: index.html in their folder
    lists every run, matrix-NAME.html shows where a hypothesis holds that was run on several models,
    and library.md has a row for each hypothesis and model.

    A run that cannot be read gets a page that says why and what to do, and exit code 4.
    """
    if not run:
        return _all_of(in_, out, markdown=markdown)
    names = [name for name in run if not _is_beside_runs(Path(name))]
    if not names:
        raise UsageError(f"{run[0]}: this is a file beside runs; name a run's folder.")
    opened = [opened_run(resolve(name, in_)) for name in names]
    if out is not None:
        require_writable(out.parent, "--out")
    if markdown:
        _as_markdown(opened, out)
    else:
        for path in _written(opened, out):
            stdout().say(str(path))
    unread = [each for each in opened if isinstance(each, UnopenedRun)]
    for each in unread:
        stderr().say(each.problem)
    return EXIT_USAGE if unread else EXIT_OK


def _all_of(reports: Path, out: Path | None, *, markdown: bool) -> int:
    if out is not None or markdown:
        raise UsageError("--out and --markdown need a run: say which, e.g. `latest`.")
    if not reports.is_dir():
        raise UsageError(f"--in: there is no folder {reports}/; `tracer run` makes it.")
    require_writable(reports, "--in")
    for page in write_pages_of_all(reports):
        stdout().say(str(page))
    return EXIT_OK


def _is_beside_runs(path: Path) -> bool:
    """Whether it is one of the files that a pattern such as `reports/NAME/*` takes for runs."""
    is_known = path.name == REGISTERED or is_page(path.name)
    return is_known and path.is_file() and not is_run(path.parent)


def _as_markdown(opened: Sequence[Run | UnopenedRun], out: Path | None) -> None:
    text = "\n".join(
        markdown_of(each.record, each.verdict)
        if isinstance(each, Run)
        else unread_markdown(each.listed())
        for each in opened
    )
    if out is None:
        write_stdout(text)
    else:
        write_text(out, text)
        stdout().say(str(out))


def _written(opened: Sequence[Run | UnopenedRun], out: Path | None) -> Iterator[Path]:
    """The pages, one after the other as they are written."""
    if out is not None and len(opened) == 1:
        yield _page(opened[0], out)
        return
    for each in opened:
        yield _page(each, None)
    if out is not None:
        write_text(out, render_index([listed_run(run, out.parent) for run in opened]))
        yield out


def _page(run: Run | UnopenedRun, out: Path | None) -> Path:
    """The page of one run; the report an older tracer wrote of what this one cannot read stays."""
    if isinstance(run, Run):
        return run.report(out)
    if out is None and run.page.exists():
        stderr().say(f"{run.page}: an earlier page of this run, kept as it is.")
        return run.page
    path, entry = out or run.page, run.entry
    write_text(path, render_unread(run.listed(), entry.status, read_unreadable(entry.folder)))
    return path
