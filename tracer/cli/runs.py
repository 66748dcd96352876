"""`tracer list`, `show` and `judge`: hypotheses and their runs, without model or torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.output import code_of, nothing_selected, print_table, stdout, worst
from tracer.cli.select import FileFilters, hypothesis_paths, latest_by_name, read_all
from tracer.errors import EXIT_OK
from tracer.hypothesis.load import HypothesisFile, read
from tracer.record.runs import RunEntry, find_runs, resolve
from tracer.report.run import Run, judge_folder
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
    found = read_all(hypothesis_paths(files))
    broken = found.say_broken()
    chosen = FileFilters(expression, tuple(tags or ())).choose(found.files)
    if not chosen and not broken:
        return nothing_selected("no hypothesis file passes the filters.")
    latest = latest_by_name(in_)
    for file in chosen:
        _describe(stdout(), file, latest.get(file.hypothesis.hypothesis))
    return worst(broken)


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
        f"latest: {_verdict(latest)} ({latest.started})" if latest else "never run",
    ]
    screen.paragraph(" · ".join(facts))


def _list_runs(screen: Screen, reports: Path) -> int:
    past = find_runs(reports)[::-1]
    if not past:
        return nothing_selected(f"there are no runs in {reports}/.")
    rows = [(run.id, _verdict(run), run.model or "") for run in past]
    print_table(screen, [("run", 0), ("verdict", 0), ("model", 0)], rows)
    return EXIT_OK


def _verdict(entry: RunEntry) -> str:
    """The verdict, or why there is none."""
    if entry.problem is not None:
        return "unreadable"
    if entry.status == "measuring":
        return "unfinished"
    if entry.verdict is None:
        return "not judged"
    return entry.verdict + (" as expected" if entry.as_expected else ", not as expected")


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
