"""`tracer list` and `tracer show`: what there is to run, and what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tracer.cli import options
from tracer.cli.endings import stderr, stdout, worst
from tracer.cli.files import Filters, gather, read_all
from tracer.cli.latest import in_a_word, latest_by_name
from tracer.errors import EXIT_NOTHING_SELECTED, EXIT_OK
from tracer.hypothesis.load import HypothesisFile
from tracer.result import Run
from tracer.runs import RunEntry, find_runs, resolve
from tracer.terminal import Screen, print_verdict


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
    chosen = Filters(expression, tuple(tags or ())).choose(found.files)
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
