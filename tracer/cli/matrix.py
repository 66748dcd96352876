"""Several models or feature bases in one `tracer run`: the files of each combination, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.cli.json_output import FileResult
from tracer.cli.select import BrokenFile, FileFilters, read_all
from tracer.errors import EXIT_INTERRUPTED
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.report.matrix import (
    Combination,
    CombinationResult,
    by_hypothesis,
    page_path,
    print_matrix,
)
from tracer.report.run import Run
from tracer.report.screen import Screen

_OF_THE_FILE = "as in the file"


@dataclass(frozen=True)
class Selected:
    """The files of one combination, read with its model and features in them."""

    combination: Combination
    files: Sequence[HypothesisFile]
    broken: Sequence[BrokenFile]
    names: Mapping[str, str]
    """Hypotheses by file, as some combination could read them."""

    def place(self, result: FileResult, run: Run | None) -> FileResult:
        """The result with its combination of model and features, and with its run."""
        file = next((f for f in self.files if str(f.path) == result.file), None)
        model, features = self.combination
        case = CombinationResult(
            hypothesis=self.names.get(result.file, result.file),
            model=file.hypothesis.model_spec.name if file else model or _OF_THE_FILE,
            features=file.hypothesis.features if file else features or _OF_THE_FILE,
            run=run,
            problem=result.sentence or result.skipped,
        )
        return result._replace(case=case)


def select(
    paths: Sequence[Path], cells: Sequence[Combination], others: Replacements, filters: FileFilters
) -> list[Selected]:
    """What each combination runs; a file that it makes invalid is broken there alone."""
    names: dict[str, str] = {}
    selected: list[Selected] = []
    for cell in cells:
        replaced = others._replace(model=cell.model, features=cell.features)
        found = read_all(paths, replaced.overrides())
        names.update((str(file.path), file.hypothesis.hypothesis) for file in found.files)
        selected.append(Selected(cell, filters.choose(found.files), found.broken, names))
    return selected


def show_where_it_holds(screen: Screen, results: Sequence[FileResult], reports: Path) -> None:
    """A table for each hypothesis, and a page beside the runs that links their reports."""
    cases = [r.case for r in results if r.case is not None and r.code != EXIT_INTERRUPTED]
    for matrix in by_hypothesis(cases):
        screen.say()
        print_matrix(screen, matrix)
        if any(case.run for case in matrix.cases):
            matrix.keep_evidence()
            page = matrix.page(page_path(reports, matrix.cases[0].hypothesis))
            screen.say(f"  {page}")
