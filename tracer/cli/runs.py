"""`tracer list` and `tracer show`: what there is to run, and what was found.

`tracer judge` and `tracer report`: from saved measurements, with neither model nor torch.

Pages of several runs and of broken ones: the list of a folder, and why a run cannot be shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tracer.cli import options
from tracer.cli.output import require_writable, stderr, stdout, worst, write_stdout
from tracer.cli.select import FileFilters, gather, in_a_word, latest_by_name, read_all
from tracer.errors import EXIT_NOT_CONFIRMED, EXIT_NOTHING_SELECTED, EXIT_OK, EXIT_USAGE, UsageError
from tracer.hypothesis.load import HypothesisFile, read
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
from tracer.report.run import REPORT, Run, judge_folder
from tracer.report.terminal import Screen, print_verdict


def list_(
    files: options.Files = None,
    expression: options.Expression = None,
    tags: options.Tags = None,
    runs: Annotated[bool, typer.Option("--runs", help="List runs, newest first.")] = False,
    in_: options.In = options.REPORTS,
) -> int:
    """List hypotheses with their claim and latest verdict, or the runs there are.

    tracer list -t two-hop

    tracer list --runs
    """
    if runs:
        return _list_runs(stdout(), in_)
    found = read_all(gather(files or []), ())
    for broken in found.broken:
        stderr().say(str(broken.error))
    chosen = FileFilters(expression, tuple(tags or ())).choose(found.files)
    if not chosen and not found.broken:
        stderr().say("nothing selected: no hypothesis file passes the filters.")
        return EXIT_NOTHING_SELECTED
    latest = latest_by_name(in_)
    for file in chosen:
        _describe(stdout(), file, latest.get(file.hypothesis.hypothesis))
    return worst(broken.error.exit_code for broken in found.broken)


def _describe(screen: Screen, file: HypothesisFile, latest: RunEntry | None) -> None:
    hypothesis = file.hypothesis
    screen.say(f"{hypothesis.hypothesis}  {file.path}", "bold")
    screen.paragraph(hypothesis.claim, "italic")
    held_out = sum(prompt.held_out for prompt in hypothesis.prompts.values())
    facts = [
        f"{len(hypothesis.prompts)} prompts ({held_out} held out)",
        f"{len(hypothesis.interventions)} interventions",
        f"expected: {hypothesis.expected}",
        f"tags: {', '.join(hypothesis.tags)}" if hypothesis.tags else "no tags",
        f"latest: {in_a_word(latest)} ({latest.started})" if latest else "never run",
    ]
    screen.paragraph(" · ".join(facts))


def _list_runs(screen: Screen, reports: Path) -> int:
    past = find_runs(reports)[::-1]
    if not past:
        stderr().say(f"nothing selected: there are no runs in {reports}/.")
        return EXIT_NOTHING_SELECTED
    headings = (("run", 0), ("verdict", 0), ("model", 0))
    rows: list[list[Text]] = []
    for run in past:
        texts = (run.id, in_a_word(run), run.model or "")
        rows.append([screen.text(text) for text in texts])
    screen.table(list(headings), rows)
    return EXIT_OK


def show(
    run: options.RunArgument,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Every prompt under its expectation.")
    ] = False,
    in_: options.In = options.REPORTS,
) -> int:
    """Print the verdict table of a run again; nothing is measured or written.

    tracer show two_hop

    tracer show reports/two_hop/RUN -v
    """
    opened = Run.open(resolve(run, in_))
    print_verdict(stdout(), opened.verdict, opened.facts, per_prompt=verbose)
    return EXIT_OK


INDEX = "index.html"


def write_index_of_all(reports: Path) -> Path:
    """List every run of a folder, newest first, those that cannot be read with the reason.

    Raises:
        OSError: The page cannot be written.
    """
    entries = [_entry(each, reports) for each in reversed(find_runs(reports))]
    path = reports / INDEX
    write_text(path, render_index(entries))
    return path


@dataclass(frozen=True)
class Unread:
    """A run that cannot be opened."""

    folder: Path
    problem: str

    @property
    def entry(self) -> UnreadEntry:
        """It as a list of runs has it."""
        told = entry_of(self.folder)
        return UnreadEntry(told.id, told.hypothesis, told.started, told.model, self.problem)

    @property
    def page(self) -> Path:
        """Where its own page lies, or would."""
        return self.folder / REPORT

    def write(self, path: Path) -> Path:
        """Write the page that says what is wrong, and what can be done.

        Raises:
            OSError: It cannot be written.
        """
        status = entry_of(self.folder).status
        write_text(path, render_unread(self.entry, status, read_unreadable(self.folder)))
        return path


def open_or_say(folder: Path) -> Run | Unread:
    """The run of a folder, or the sentence that says why it cannot be shown."""
    try:
        return Run.open(folder)
    except UsageError as error:
        return Unread(folder, str(error))


def write_index(path: Path, opened: Sequence[Run | Unread]) -> Path:
    """List these runs, in their order."""
    write_text(path, render_index([_listed(run, path.parent) for run in opened]))
    return path


def _listed(run: Run | Unread, folder: Path) -> IndexEntry | UnreadEntry:
    if isinstance(run, Unread):
        return replace(run.entry, href=_href(run.page, folder))
    return IndexEntry(run.record, run.verdict, _href(run.path / REPORT, folder))


def _href(page: Path, folder: Path) -> str | None:
    return Path(os.path.relpath(page, folder)).as_posix() if page.exists() else None


def _entry(entry: RunEntry, folder: Path) -> IndexEntry | UnreadEntry:
    found = open_or_say(entry.folder)
    if isinstance(found, Run):
        return _listed(found, folder)
    problem, href = entry.problem or found.problem, _href(found.page, folder)
    return UnreadEntry(entry.id, entry.hypothesis, entry.started, entry.model, problem, href)


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
    found = judge_folder(resolve(run, in_), declared).save()
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
