"""`tracer list`: hypotheses and their runs, read off their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.documents.listing import Hypotheses, ListedHypothesis, ListedRun, Runs
from tracer.cli.output import (
    nothing_selected,
    print_table,
    require_writable_file,
    screen_beside,
    worst,
    write_document,
)
from tracer.cli.select import FileFilters, hypothesis_paths, latest_by_name, read_all
from tracer.errors import EXIT_OK
from tracer.evidence.wording import counted
from tracer.hypothesis.load import HypothesisFile
from tracer.record.runs import RunEntry, find_runs
from tracer.report.screen import Screen


def list_(
    files: options.Files = None,
    expression: options.Expression = None,
    tags: options.Tags = None,
    runs: Annotated[bool, typer.Option("--runs", help="List runs, newest first.")] = False,
    json_: Annotated[Path | None, options.json_file("The list")] = None,
    in_: options.In = options.REPORTS,
) -> int:
    """List hypotheses with their claim and latest verdict, or the runs there are.

    tracer list -t two-hop

    tracer list --runs
    """
    require_writable_file(json_, "--json")
    screen = screen_beside(json_)
    if runs:
        return _list_runs(screen, in_, json_)
    found = read_all(hypothesis_paths(files))
    broken = found.say_broken()
    chosen = FileFilters(expression, tuple(tags or ())).choose(found.files)
    if not chosen and not broken:
        return nothing_selected("no hypothesis file passes the filters.")
    latest = latest_by_name(in_)
    listed = [(file, latest.get(file.hypothesis.hypothesis)) for file in chosen]
    for file, run in listed:
        _describe(screen, file, run)
    if json_ is not None:
        told = tuple(ListedHypothesis.of(file, run) for file, run in listed)
        write_document(json_, Hypotheses(hypotheses=told).written())
    return worst(broken)


def _n_held_out(file: HypothesisFile) -> int:
    return sum(prompt.held_out for prompt in file.hypothesis.prompts.values())


def _describe(screen: Screen, file: HypothesisFile, latest: RunEntry | None) -> None:
    hypothesis = file.hypothesis
    screen.say(f"{hypothesis.hypothesis}  {file.path}", "bold")
    screen.paragraph(hypothesis.claim, "italic")
    facts = [
        f"{counted(len(hypothesis.prompts), 'prompt')} ({_n_held_out(file)} held out)",
        counted(len(hypothesis.interventions), "intervention"),
        f"expected: {hypothesis.expected}",
        f"tags: {', '.join(hypothesis.tags)}" if hypothesis.tags else "no tags",
        f"latest: {_verdict(latest)} ({_when(latest)} UTC)" if latest else "never run",
    ]
    screen.paragraph(" · ".join(facts))


def _list_runs(screen: Screen, reports: Path, json_: Path | None) -> int:
    past = find_runs(reports)[::-1]
    if not past:
        return nothing_selected(f"there are no runs in {reports}/.")
    rows = [(run.id, _when(run), _verdict(run), run.model or "") for run in past]
    print_table(screen, [("run", 0), ("started, UTC", 0), ("verdict", 0), ("model", 0)], rows)
    if json_ is not None:
        write_document(json_, Runs(runs=tuple(ListedRun.of(run) for run in past)).written())
    return EXIT_OK


def _when(run: RunEntry) -> str:
    """The minute, in UTC."""
    return (run.started or "")[:16].replace("T", " ")


def _verdict(entry: RunEntry) -> str:
    """The verdict, or why there is none."""
    if entry.problem is not None:
        return "unreadable"
    if entry.status == "measuring":
        return "unfinished"
    if entry.verdict is None:
        return "not judged"
    return entry.verdict + (" as expected" if entry.as_expected else ", not as expected")
