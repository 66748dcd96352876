"""Where a hypothesis holds: one run for each model and feature basis, as a page and as a table.

A combination that cannot be opened (a dictionary of another model, a layer it does not have, a
token that is several in its tokenizer) is a row with its reason, never the end of the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from itertools import product
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rich.text import Text

from tracer.evidence.cross_basis import InBasis, across_bases
from tracer.record.cross_basis import CrossBasis, write_cross_basis
from tracer.record.files import write_text
from tracer.report.headline import VerdictView, counted_apart, verdict_view
from tracer.report.render import fill_template
from tracer.report.run import REPORT, Run
from tracer.report.screen import Screen
from tracer.report.sections.bases import across_view, effects_words

_SURVIVAL = {"survives": "green", "does not survive": "red", "weaker": "yellow", "open": "yellow"}
_PAGE, _SUFFIX = "matrix-", ".html"
"""What stands before and after the hypothesis in the name of its page."""


@dataclass(frozen=True)
class CellView:
    """A combination as it is drawn."""

    verdict: VerdictView | None
    """None where it could not be run."""
    reason: str
    href: str | None
    """Path of the report, relative to the page."""
    held: str


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

    @cached_property
    def across(self) -> tuple[CrossBasis, ...]:
        """The runs on one model in several bases beside each other, for each model with such."""
        models = dict.fromkeys(case.model for case in self.cases)
        found = (tuple(case for case in self.cases if case.model == model) for model in models)
        return tuple(
            _across(cases) for cases in found if len(cases) > 1 and any(c.run for c in cases)
        )

    def keep_evidence(self) -> None:
        """Put what several bases come to into the folder of each run, and into its report.

        Raises:
            OSError: A file cannot be written.
        """
        of_model = {found.model: found for found in self.across}
        for case in self.cases:
            if case.run is not None and case.model in of_model:
                write_cross_basis(case.run.path, of_model[case.model])
                case.run.report()

    def page(self, path: Path) -> Path:
        """Write the HTML page that shows where it holds, with links to the reports."""
        write_text(path, render_matrix(self, path.parent))
        return path

    def __str__(self) -> str:
        file = StringIO()
        print_matrix(Screen(file, width=80), self)
        return file.getvalue()


def _across(cases: Sequence[CombinationResult]) -> CrossBasis:
    found = [
        InBasis(
            case.features,
            case.run.record if case.run else None,
            case.run.verdict if case.run else None,
            case.reason,
        )
        for case in cases
    ]
    return across_bases(cases[0].hypothesis, cases[0].model, found)


def by_hypothesis(cases: Sequence[CombinationResult]) -> list[Matrix]:
    """One matrix for each hypothesis, in the order they come."""
    names = dict.fromkeys(case.hypothesis for case in cases)
    return [Matrix(tuple(c for c in cases if c.hypothesis == name)) for name in names]


def page_path(reports: Path, hypothesis: str) -> Path:
    """Where the page of a hypothesis lies: always the same, so that a link to it lasts."""
    return reports / f"{_PAGE}{hypothesis}{_SUFFIX}"


def is_page_name(name: str) -> bool:
    """Whether a file of this name is such a page."""
    return name.startswith(_PAGE) and name.endswith(_SUFFIX)


def print_matrix(screen: Screen, matrix: Matrix) -> None:
    """Print a row for each combination."""
    n, held = len(matrix.cases), len(matrix.holds)
    name = matrix.cases[0].hypothesis
    screen.say(f"{name}: as expected on {held} of {n} combinations", "bold")
    columns = [("model", 3), ("features", 3), ("verdict", 2), ("why", 6)]
    screen.table(columns, [_row(screen, case) for case in matrix.cases])
    for found in matrix.across:
        screen.say()
        screen.paragraph(f"{found.model}: {found.sentence}", _SURVIVAL[found.survival])
        for each in found.effects:
            agreement = f"effects in {each.features} and {found.bases[0].features}"
            screen.paragraph(f"{agreement}: {effects_words(each)}")


def _row(screen: Screen, case: CombinationResult) -> list[Text]:
    colour = ("green" if case.run.verdict else "red") if case.run else "yellow"
    word = screen.text(case.word, colour)
    return [screen.text(case.model), screen.text(case.features), word, screen.text(case.reason)]


def render_matrix(matrix: Matrix, folder: Path) -> str:
    """The combinations of one hypothesis as an HTML page that lies in a folder."""
    cases = matrix.cases
    features = tuple(dict.fromkeys(case.features for case in cases))
    models = dict.fromkeys(case.model for case in cases)
    found = {(case.model, case.features): _cell(case, folder) for case in cases}
    return fill_template(
        "matrix.html.j2",
        hypothesis=cases[0].hypothesis,
        claim=next((case.run.verdict.claim for case in cases if case.run), ""),
        held=len(matrix.holds),
        n=len(cases),
        features=features,
        rows=[(m, [found.get((m, f)) for f in features]) for m in models],
        across=[(each.model, across_view(each)) for each in matrix.across],
    )


def _cell(case: CombinationResult, folder: Path) -> CellView:
    if case.run is None:
        return CellView(None, case.reason, None, "")
    verdict, outcomes = case.run.verdict, case.run.verdict.outcomes
    href = Path(os.path.relpath(case.run.path / REPORT, folder)).as_posix()
    told = counted_apart(outcomes)
    return CellView(verdict_view(verdict), case.reason, quote(href, safe="/"), told)
