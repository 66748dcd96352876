"""`tracer report`: pages of runs, a page that lists runs, and a summary in Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tracer.cli import options
from tracer.cli.output import require_writable, stderr, stdout, write_stdout
from tracer.errors import EXIT_OK, EXIT_USAGE, UsageError
from tracer.record.files import write_text
from tracer.record.run_folder import read_unreadable
from tracer.record.runs import RunEntry, entry_of, find_runs, resolve
from tracer.report.index import (
    IndexEntry,
    UnreadEntry,
    render_index,
    render_unread,
    unread_markdown,
)
from tracer.report.markdown import markdown as markdown_of
from tracer.report.run import REPORT, Run

INDEX = "index.html"


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

    Without a run it writes the page that lists all of them, index.html in their folder.

    A run that cannot be read gets a page that says why and what to do, and exit code 4.
    """
    if not run:
        return _all_of(in_, out, markdown=markdown)
    opened = [_open(resolve(name, in_)) for name in run]
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
    stdout().say(str(write_index_of_all(reports)))
    return EXIT_OK


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
        write_text(out, render_index([_listed(run, out.parent) for run in opened]))
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


class UnopenedRun(NamedTuple):
    """A run that cannot be opened, and the sentence that says why."""

    entry: RunEntry
    problem: str

    @property
    def page(self) -> Path:
        """The file of the run's own page, which may not exist."""
        return self.entry.folder / REPORT

    def listed(self, href: str | None = None) -> UnreadEntry:
        """The run as a list of runs shows it."""
        run = self.entry
        return UnreadEntry(run.id, run.hypothesis, run.started, run.model, self.problem, href)


def _open(folder: Path) -> Run | UnopenedRun:
    try:
        return Run.open(folder)
    except UsageError as error:
        return UnopenedRun(entry_of(folder)._replace(folder=folder), str(error))


def write_index_of_all(reports: Path) -> Path:
    """List every run of a folder, newest first, those that cannot be read with the reason.

    Raises:
        OSError: The page cannot be written.
    """
    path, listed = reports / INDEX, list[IndexEntry | UnreadEntry]()
    for entry in reversed(find_runs(reports)):
        run = _open(entry.folder)
        if isinstance(run, UnopenedRun):
            run = UnopenedRun(entry, entry.problem or run.problem)
        listed.append(_listed(run, reports))
    write_text(path, render_index(listed))
    return path


def _listed(run: Run | UnopenedRun, folder: Path) -> IndexEntry | UnreadEntry:
    if isinstance(run, UnopenedRun):
        return run.listed(_href(run.page, folder))
    return IndexEntry(run.record, run.verdict, _href(run.path / REPORT, folder))


def _href(page: Path, folder: Path) -> str | None:
    return Path(os.path.relpath(page, folder)).as_posix() if page.exists() else None
