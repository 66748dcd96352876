"""Geometry of the calibration plots: what a graph predicts against what clamping measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.report.axes import AxisTick, Scale, nice_ticks
from tracer.report.text import formatted

LEFT, RIGHT, TOP, BOTTOM = 44.0, 248.0, 10.0, 206.0


@dataclass(frozen=True)
class Dot:
    """One ablation."""

    x: float
    y: float
    is_supernode: bool
    title: str


@dataclass(frozen=True)
class Scatter:
    """Predicted across, measured up, on the same scale; the diagonal is agreement."""

    ticks: tuple[tuple[AxisTick, AxisTick], ...]
    """The same numbers across and up."""
    dots: tuple[Dot, ...]
    width: float = 260.0
    height: float = 236.0
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


def scatter(points: Sequence[tuple[float, float, bool, str]]) -> Scatter:
    """Lay out (predicted, measured, is a supernode, title)."""
    values = [value for x, y, _, _ in points for value in (x, y)]
    ticks = nice_ticks(min([0.0, *values]), max([0.0, *values]) + 1e-6, 4)
    x = Scale(ticks[0], ticks[-1], LEFT, RIGHT)
    y = Scale(ticks[0], ticks[-1], BOTTOM, TOP)
    labels = {tick: formatted(tick, "g") for tick in ticks}
    return Scatter(
        ticks=tuple((AxisTick(x(t), labels[t]), AxisTick(y(t), labels[t])) for t in ticks),
        dots=tuple(Dot(x(px), y(py), named, title) for px, py, named, title in points),
    )
