"""`tracer list`: hypotheses and their runs, read off their files.

`tracer list --json` writes

    {"schema": "tracer.hypotheses/1", "tracer": "0.1.0", "hypotheses": [
      {"file": "…", "hypothesis": "…", "claim": "…", "tags": […], "model": "…",
       "expected": "confirmed", "prompts": 9, "held_out": 5, "interventions": 2,
       "latest": {…} or null}]}

and with `--runs`, newest first,

    {"schema": "tracer.runs/1", "tracer": "0.1.0", "runs": [
      {"run": "two_hop/…", "folder": "reports/two_hop/…", "hypothesis": "two_hop",
       "started": "2026-01-02T03:04:05Z", "status": "complete", "model": "…",
       "verdict": "confirmed", "as_expected": true, "problem": null}]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tracer.cli import options
from tracer.cli.output import (
    json_text,
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
from tracer.record.files import path_text
from tracer.record.runs import RunEntry, find_runs
from tracer.report.screen import Screen

HYPOTHESES, RUNS = "tracer.hypotheses/1", "tracer.runs/1"


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
        found = [_hypothesis_data(file, run) for file, run in listed]
        write_document(json_, json_text(HYPOTHESES, {"hypotheses": found}))
    return worst(broken)


def _hypothesis_data(file: HypothesisFile, latest: RunEntry | None) -> dict[str, Any]:
    hypothesis = file.hypothesis
    return {
        "file": path_text(file.path),
        "hypothesis": hypothesis.hypothesis,
        "claim": hypothesis.claim,
        "tags": list(hypothesis.tags),
        "model": hypothesis.model_spec.name,
        "expected": hypothesis.expected,
        "prompts": len(hypothesis.prompts),
        "held_out": _n_held_out(file),
        "interventions": len(hypothesis.interventions),
        "latest": latest and _run_data(latest),
    }


def _run_data(run: RunEntry) -> dict[str, Any]:
    return {
        "run": run.id,
        "folder": path_text(run.folder),
        "hypothesis": run.hypothesis,
        "started": run.started,
        "status": run.status,
        "model": run.model,
        "verdict": run.verdict,
        "as_expected": run.as_expected,
        "problem": run.problem,
    }


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
        write_document(json_, json_text(RUNS, {"runs": [_run_data(run) for run in past]}))
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
