"""From single effects to the matrix: what each hypothesis does to its own task and to the others'.

With Δ the change of logit(answer) − mean logit on one prompt:

- on-task effect of i: the median of Δ over its own prompts, at the declared places;
- off-task effect of i on j: on every prompt of j, the Δ of the placement that changes it most,
  whichever that is; then the median over the prompts;
- selectivity of i = |on-task effect| / median over j ≠ i of the median |Δ| on j.

The worst placement is taken because an ablation that is put where the features do not fire does
nothing, which would pass for specificity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tracer.record.specificity import Effect, Placement, Specificity

_DECLARED: tuple[Placement, ...] = ("declared", "last")


@dataclass(frozen=True)
class SpecificityCell:
    """One hypothesis's ablation on one task."""

    change: float
    """Median Δ over the task's prompts."""
    size: float
    """Median |Δ|."""
    n_prompts: int


@dataclass(frozen=True)
class SpecificityRow:
    """One hypothesis's ablation on every task."""

    name: str
    cells: Mapping[str, SpecificityCell]
    off_task: float
    """Median over the other tasks of the size."""
    selectivity: float | None
    problem: str | None
    """Why there is no selectivity."""
    kl_median: float
    kl_max: float
    """Over neutral texts, in nats."""


def summarise(found: Specificity) -> tuple[SpecificityRow, ...]:
    """A row for every hypothesis, in the order of the tasks; at least two tasks."""
    return tuple(_row(found, task.name) for task in found.tasks)


def _row(found: Specificity, name: str) -> SpecificityRow:
    own = [effect for effect in found.effects if effect.ablated == name]
    cells = {
        task.name: _cell([e for e in own if e.task == task.name], is_own=task.name == name)
        for task in found.tasks
    }
    off_task = median(cell.size for task, cell in cells.items() if task != name)
    problem = _problem(cells[name].change, off_task)
    kl = [effect.kl for effect in found.neutral if effect.ablated == name]
    return SpecificityRow(
        name=name,
        cells=cells,
        off_task=off_task,
        selectivity=None if problem else abs(cells[name].change) / off_task,
        problem=problem,
        kl_median=median(kl),
        kl_max=max(kl),
    )


def _problem(on_task: float, off_task: float) -> str | None:
    if on_task >= 0:
        return "ablating it does not lower the answers of its own task"
    if off_task == 0:
        return "it does nothing at all to the other tasks: there is nothing to divide by"
    return None


def _cell(effects: Sequence[Effect], *, is_own: bool) -> SpecificityCell:
    by_prompt: dict[str, list[float]] = {}
    for effect in effects:
        if not is_own or effect.placement in _DECLARED:
            by_prompt.setdefault(effect.prompt, []).append(effect.change)
    worst = [max(changes, key=abs) for changes in by_prompt.values()]
    return SpecificityCell(median(worst), median(abs(change) for change in worst), len(worst))
