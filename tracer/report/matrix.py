"""Where a hypothesis holds: models down, feature bases across, a verdict in each cell.

One hypothesis on several models and feature bases: each combination is a run.

A combination that cannot be opened (a dictionary of another model, a layer it does not have, a
token that is several in its tokenizer) is a row with its reason, never the end of the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import product
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tracer.record.files import write_text
from tracer.record.verdict import Verdict
from tracer.report.headline import VerdictView, verdict_view
from tracer.report.render import fill_template
from tracer.report.run import REPORT, Run
from tracer.report.terminal import Screen


@dataclass(frozen=True)
class MatrixCell:
    """One combination; no verdict where it could not be run."""

    model: str
    features: str
    verdict: Verdict | None
    reason: str
    href: str | None
    """Path of the report, relative to the page."""


@dataclass(frozen=True)
class CellView:
    """A cell as it is drawn."""

    verdict: VerdictView | None
    reason: str
    href: str | None
    held: str


@dataclass(frozen=True)
class MatrixView:
    """The whole page."""

    hypothesis: str
    claim: str
    held: int
    n: int
    features: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CellView | None, ...]], ...]
    """Model, and its cell for each basis; None where that pair was not asked for."""


def render_matrix(hypothesis: str, cells: Sequence[MatrixCell]) -> str:
    """The combinations of one hypothesis as an HTML page."""
    features = tuple(dict.fromkeys(cell.features for cell in cells))
    models = dict.fromkeys(cell.model for cell in cells)
    found = {(cell.model, cell.features): _view(cell) for cell in cells}
    verdicts = [cell.verdict for cell in cells if cell.verdict is not None]
    view = MatrixView(
        hypothesis=hypothesis,
        claim=verdicts[0].claim if verdicts else "",
        held=sum(map(bool, verdicts)),
        n=len(cells),
        features=features,
        rows=tuple((m, tuple(found.get((m, f)) for f in features)) for m in models),
    )
    return fill_template("matrix.html.j2", matrix=view)


def _view(cell: MatrixCell) -> CellView:
    verdict = cell.verdict
    outcomes = verdict.outcomes if verdict else ()
    held = sum(outcome.outcome == "held" for outcome in outcomes)
    return CellView(
        verdict=verdict_view(verdict) if verdict else None,
        reason=cell.reason,
        href=quote(cell.href, safe="/") if cell.href else None,
        held=f"{held} of {len(outcomes)} expectations held" if verdict else "",
    )


_VERDICT_COLOURS = {True: "green", False: "red", None: "yellow"}


class Combination(NamedTuple):
    """A model and a feature basis; None is what the file says."""

    model: str | None = None
    features: str | None = None


def combinations(models: Iterable[str], features: Iterable[str]) -> tuple[Combination, ...]:
    """Every model with every basis, in the order given, each once; the file's own for none."""
    pairs = product(list(models) or [None], list(features) or [None])
    return tuple(dict.fromkeys(Combination(model, basis) for model, basis in pairs))


@dataclass(frozen=True)
class CombinationResult:
    """One combination as it ended: a run, or the reason why there is none."""

    hypothesis: str
    model: str
    features: str
    run: Run | None
    problem: str | None = None

    @property
    def id(self) -> str:
        """The same whenever the same is run: 'two_hop[model=gemma-3-270m,features=neurons]'."""
        return f"{self.hypothesis}[model={self.model},features={self.features}]"

    @property
    def word(self) -> str:
        """The verdict, or that there is none."""
        return self.run.verdict.verdict if self.run else "not run"

    @property
    def reason(self) -> str:
        """Why that verdict, or why none, on one line."""
        if self.run is not None:
            return self.run.verdict.reason
        lines = (self.problem or "").splitlines() or [""]
        more = len(lines) - 1
        return lines[0] + (f" (and {more} more)" if more else "")


@dataclass(frozen=True)
class Matrix:
    """All combinations of one hypothesis; printing it shows them as a table."""

    cases: tuple[CombinationResult, ...]

    @property
    def holds(self) -> tuple[CombinationResult, ...]:
        """Those that came out as the file expects."""
        return tuple(case for case in self.cases if case.run is not None and case.run.verdict)

    def page(self, path: Path) -> Path:
        """Write the HTML page that shows where it holds, with links to the reports."""
        cells = [_cell(case, path.parent) for case in self.cases]
        write_text(path, render_matrix(self.cases[0].hypothesis, cells))
        return path

    def __str__(self) -> str:
        file = StringIO()
        print_matrix(Screen(file, width=80), self)
        return file.getvalue()


def by_hypothesis(cases: Sequence[CombinationResult]) -> list[Matrix]:
    """One matrix for each hypothesis, in the order they come."""
    names = dict.fromkeys(case.hypothesis for case in cases)
    return [Matrix(tuple(c for c in cases if c.hypothesis == name)) for name in names]


def page_path(reports: Path, hypothesis: str) -> Path:
    """Where the page of a hypothesis lies: always the same, so that a link to it lasts."""
    return reports / f"matrix-{hypothesis}.html"


def print_matrix(screen: Screen, matrix: Matrix) -> None:
    """Print a row for each combination."""
    n, held = len(matrix.cases), len(matrix.holds)
    name = matrix.cases[0].hypothesis
    screen.say(f"{name}: as expected on {held} of {n} combinations", "bold")
    screen.table(
        [("model", 3), ("features", 3), ("verdict", 2), ("why", 6)],
        [
            [
                screen.text(case.model),
                screen.text(case.features),
                screen.text(
                    case.word, _VERDICT_COLOURS[bool(case.run.verdict) if case.run else None]
                ),
                screen.text(case.reason),
            ]
            for case in matrix.cases
        ],
    )


def _cell(case: CombinationResult, page_folder: Path) -> MatrixCell:
    href = None
    if case.run is not None:
        href = Path(os.path.relpath(case.run.path / REPORT, page_folder)).as_posix()
    verdict = case.run.verdict if case.run else None
    return MatrixCell(case.model, case.features, verdict, case.reason, href)
