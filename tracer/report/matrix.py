"""Where a hypothesis holds: models down, feature bases across, a verdict in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tracer.evidence.verdict import Verdict
from tracer.report.render import fill_template
from tracer.report.views import VerdictView, verdict_view


@dataclass(frozen=True)
class Cell:
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


def render_matrix(hypothesis: str, cells: Sequence[Cell]) -> str:
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


def _view(cell: Cell) -> CellView:
    verdict = cell.verdict
    outcomes = verdict.outcomes if verdict else ()
    held = sum(outcome.outcome == "held" for outcome in outcomes)
    return CellView(
        verdict=verdict_view(verdict) if verdict else None,
        reason=cell.reason,
        href=quote(cell.href, safe="/") if cell.href else None,
        held=f"{held} of {len(outcomes)} expectations held" if verdict else "",
    )
