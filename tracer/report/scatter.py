"""Geometry of the calibration plots: what a graph predicts against what clamping measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer.evidence.wording import MINUS
from tracer.report.plots import AxisTick, Scale, nice_ticks

WIDTH, HEIGHT = 260.0, 236.0
LEFT, BOTTOM = 44.0, 30.0


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

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    ticks: tuple[tuple[AxisTick, AxisTick], ...]
    """The same numbers across and up."""
    dots: tuple[Dot, ...]


def scatter(points: Sequence[tuple[float, float, bool, str]]) -> Scatter:
    """Lay out (predicted, measured, is a supernode, title)."""
    values = [value for x, y, _, _ in points for value in (x, y)]
    ticks = nice_ticks(min([0.0, *values]), max([0.0, *values]) + 1e-6, 4)
    x = Scale(ticks[0], ticks[-1], LEFT, WIDTH - 12)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, 10.0)
    return Scatter(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - 12,
        top=10.0,
        bottom=HEIGHT - BOTTOM,
        ticks=tuple((AxisTick(x(t), _label(t)), AxisTick(y(t), _label(t))) for t in ticks),
        dots=tuple(Dot(x(px), y(py), named, title) for px, py, named, title in points),
    )


def _label(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)
