"""`tracer library`: the page that lists every hypothesis with the verdict of its latest run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from tracer.cli import options
from tracer.cli.output import require_writable, stdout, worst
from tracer.cli.select import hypothesis_paths, read_all
from tracer.errors import UsageError
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import Hypothesis
from tracer.record.files import write_text
from tracer.record.run_folder import read_record
from tracer.record.runs import RunEntry, find_runs
from tracer.report.library import LibraryEntry, render_library
from tracer.report.run import REPORT


def library(
    files: options.Files = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page, in Markdown.")] = Path(
        "library.md"
    ),
    links: Annotated[
        bool,
        typer.Option(
            "--links/--no-links",
            help="Link the report of each run; --no-links for a page that is read where the runs "
            "are not.",
        ),
    ] = True,
    in_: options.In = options.REPORTS,
) -> int:
    """Write a page of hypotheses: claim, source, verdict, model, date and a link to the report.

    A verdict is that of the newest run of what the file says now, its wording aside. A file that
    was run on several models has a row for each, its own first.

    tracer library hypotheses/ hypotheses/*/ --no-links --out docs/library.md
    """
    require_writable(out.parent, "--out")
    found = read_all(hypothesis_paths(files))
    broken = found.say_broken()
    runs = find_runs(in_)[::-1]
    entries = [e for file in found.files for e in _entries(file, runs, out.parent, links=links)]
    write_text(out, render_library(entries))
    stdout().say(str(out))
    return worst(broken)


def _entries(
    file: HypothesisFile, runs: Sequence[RunEntry], page_folder: Path, *, links: bool
) -> Iterator[LibraryEntry]:
    newest: dict[str, RunEntry] = {}
    for run in runs:
        model = run.model or ""
        if model not in newest and _is_of(run, file.hypothesis):
            newest[model] = run
    own = file.hypothesis.model_spec.name
    for model in sorted(newest, key=lambda name: (name != own, name)) or [own]:
        run = newest.get(model)
        yield LibraryEntry(
            hypothesis=file.hypothesis,
            href=_relative(Path(file.path), page_folder),
            run=run,
            report=_relative(run.folder / REPORT, page_folder) if run and links else None,
        )


def _is_of(run: RunEntry, hypothesis: Hypothesis) -> bool:
    if run.hypothesis != hypothesis.hypothesis or run.verdict is None:
        return False
    try:
        measured = read_record(run.folder).hypothesis
    except UsageError:
        return False
    return without_words(measured) == without_words(hypothesis)


def without_words(hypothesis: Hypothesis) -> Hypothesis:
    """What decides the verdict, on whatever model."""
    words = {"claim": "", "source": None, "tags": (), "expected": "confirmed", "model": ""}
    return hypothesis.model_copy(update=words)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
