"""The page of a specificity matrix: a heat map with its numbers, and what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.evidence.specificity import SpecificityCell, SpecificityRow, summarise
from tracer.record.specificity import Specificity, Task
from tracer.report.render import fill_template
from tracer.report.text import NONE, formatted, number

_STEPS = 5
"""Shades of each sign."""


@dataclass(frozen=True)
class HeatCell:
    """One ablation on one task."""

    text: str
    shade: str
    """Class of its ground: `down-1` … `up-5`, empty for none."""
    is_own: bool
    title: str
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


def render_specificity(found: Specificity) -> str:
    """The matrix as one self-contained HTML page."""
    rows = summarise(found)
    largest = max(abs(cell.change) for row in rows for cell in row.cells.values())
    model = found.model
    return fill_template(
        "specificity.html.j2",
        found=found,
        rows=[_row(row, found.tasks, largest) for row in rows],
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
        selectivity=NONE if row.selectivity is None else f"{number(row.selectivity, 1)}×",
        problem=row.problem,
        on_task=signed(row.cells[row.name].change),
        off_task=number(row.off_task),
        kl=f"{number(row.kl_median, 3)} ({number(row.kl_max, 3)})",
    )


def _cell(row: SpecificityRow, task: str, cell: SpecificityCell, largest: float) -> HeatCell:
    step = round(_STEPS * abs(cell.change) / largest) if largest else 0
    direction = "down" if cell.change < 0 else "up"
    is_own = row.name == task
    place = "own task" if is_own else f"on {task}"
    title = f"{row.name} ablated, {place}, {cell.n_prompts} prompts"
    return HeatCell(signed(cell.change), f"{direction}-{step}" if step else "", is_own, title)


def signed(value: float) -> str:
    """With two decimals and its sign, a zero's too."""
    return formatted(value, "+.2f")
