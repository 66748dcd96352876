"""The page of a specificity matrix: a heat map with its numbers, and what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.evidence.specificity import SpecificityCell, SpecificityRow, summarise
from tracer.record.specificity import Excluded, Specificity, Task
from tracer.report.render import fill_template
from tracer.report.text import number

_STEPS = 5
"""Shades of each sign."""


@dataclass(frozen=True)
class HeatCell:
    """One ablation on one task."""

    text: str
    shade: str
    """Class of its ground: `down-1` … `up-5`, empty for none."""
    is_own: bool
    told: str
    """What it says, for those who do not see where it stands."""


@dataclass(frozen=True)
class HeatRow:
    """One hypothesis's ablation."""

    name: str
    cells: tuple[HeatCell, ...]
    selectivity: str
    problem: str | None
    on_task: str
    off_task: str
    kl: str


@dataclass(frozen=True)
class SpecificityPage:
    """The whole page."""

    tasks: tuple[Task, ...]
    rows: tuple[HeatRow, ...]
    texts: tuple[str, ...]
    apart: tuple[Excluded, ...]
    facts: tuple[tuple[str, str], ...]


def render_specificity(found: Specificity) -> str:
    """The matrix as one self-contained HTML page."""
    return fill_template("specificity.html.j2", page=_page(found))


def _page(found: Specificity) -> SpecificityPage:
    rows = summarise(found)
    largest = max(abs(cell.change) for row in rows for cell in row.cells.values())
    model = found.model
    return SpecificityPage(
        tasks=found.tasks,
        rows=tuple(_row(row, found.tasks, largest) for row in rows),
        texts=found.neutral_texts,
        apart=found.apart,
        facts=(
            ("Started", found.started),
            ("Model", f"{model.name}, {model.dtype}, {model.device}"),
            ("Fingerprint of the weights", model.fingerprint),
            ("Feature basis", found.basis),
            ("tracer", found.environment.tracer),
            ("Wall time", f"{number(found.seconds, 1)} s"),
        ),
    )


def _row(row: SpecificityRow, tasks: Sequence[Task], largest: float) -> HeatRow:
    return HeatRow(
        name=row.name,
        cells=tuple(_cell(row, task.name, row.cells[task.name], largest) for task in tasks),
        selectivity="–" if row.selectivity is None else f"{number(row.selectivity, 1)}×",
        problem=row.problem,
        on_task=signed(row.cells[row.name].change),
        off_task=number(row.off_task, 2),
        kl=f"{number(row.kl_median, 3)} ({number(row.kl_max, 3)})",
    )


def _cell(row: SpecificityRow, task: str, cell: SpecificityCell, largest: float) -> HeatCell:
    step = round(_STEPS * abs(cell.change) / largest) if largest else 0
    direction = "down" if cell.change < 0 else "up"
    is_own = row.name == task
    return HeatCell(
        text=signed(cell.change),
        shade=f"{direction}-{step}" if step else "",
        is_own=is_own,
        told=f"{row.name} ablated, {'own task' if is_own else 'on ' + task}, "
        f"{cell.n_prompts} prompts",
    )


def signed(value: float) -> str:
    """With two decimals and its sign, as the minus sign of typography."""
    return f"{value:+.2f}".replace("-", "\u2212")
