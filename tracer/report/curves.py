"""Geometry of two plots: faithfulness over the share of features kept, and calibration.

Calibration plots show what a graph predicts against what clamping measures. Coordinates are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.hypothesis.studies.circuit import SHARES
from tracer.report.plots import AxisTick, PlotLine, Scale, nice_ticks
from tracer.report.text import formatted, number, percent

LEFT, RIGHT, TOP, BOTTOM = 44.0, 448.0, 10.0, 190.0
SCATTER_LEFT, SCATTER_RIGHT, SCATTER_TOP, SCATTER_BOTTOM = 44.0, 248.0, 10.0, 206.0


@dataclass(frozen=True)
class CircuitMark:
    """Where the declared circuit stands."""

    style: int
    x: float
    y: float
    title: str


@dataclass(frozen=True)
class CurvePlot:
    """Shares on a logarithmic axis, so that small circuits can be told apart."""

    lines: tuple[PlotLine, ...]
    """A curve for each split."""
    marks: tuple[CircuitMark, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    whole: float
    """Where f = 1 stands."""
    caption: str
    width: float = 460.0
    height: float = 220.0
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


def curve_plot(
    lines: Sequence[tuple[str, Sequence[float]]],
    marks: Sequence[tuple[str, float, float]],
    caption: str,
) -> CurvePlot:
    """Lay out (split, f at each share) and (split, share, f of the circuit itself)."""
    values = [0.0, 1.0, *(f for _, curve in lines for f in curve), *(f for _, _, f in marks)]
    ticks = nice_ticks(min(values), max(values) + 1e-6, 4)
    shares = [*SHARES, *(share for _, share, _ in marks)]
    x = Scale(math.log10(min(shares)), 0.0, LEFT, RIGHT)
    y = Scale(ticks[0], ticks[-1], BOTTOM, TOP)
    styles = {name: style for style, (name, _) in enumerate(lines)}
    return CurvePlot(
        lines=tuple(_line(styles[name], name, curve, x, y) for name, curve in lines),
        marks=tuple(
            CircuitMark(
                styles[name],
                x(math.log10(share)),
                y(f),
                f"the circuit itself, {name}: {percent(share)} kept, f {number(f)}",
            )
            for name, share, f in marks
        ),
        x_ticks=tuple(AxisTick(x(math.log10(s)), percent(s)) for s in (0.001, 0.01, 0.1, 1.0)),
        y_ticks=tuple(AxisTick(y(t), formatted(t, "g")) for t in ticks),
        whole=y(1.0),
        caption=caption,
    )


def _line(style: int, name: str, curve: Sequence[float], x: Scale, y: Scale) -> PlotLine:
    points = tuple((x(math.log10(k)), y(f)) for k, f in zip(SHARES, curve, strict=True))
    text = ", ".join(f"{percent(k)} {number(f)}" for k, f in zip(SHARES, curve, strict=True))
    return PlotLine(style, points, f"{name}: {text}", name)


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
    left: float = SCATTER_LEFT
    right: float = SCATTER_RIGHT
    top: float = SCATTER_TOP
    bottom: float = SCATTER_BOTTOM


def scatter(points: Sequence[tuple[float, float, bool, str]]) -> Scatter:
    """Lay out (predicted, measured, is a supernode, title)."""
    values = [value for x, y, _, _ in points for value in (x, y)]
    ticks = nice_ticks(min([0.0, *values]), max([0.0, *values]) + 1e-6, 4)
    x = Scale(ticks[0], ticks[-1], SCATTER_LEFT, SCATTER_RIGHT)
    y = Scale(ticks[0], ticks[-1], SCATTER_BOTTOM, SCATTER_TOP)
    labels = {tick: formatted(tick, "g") for tick in ticks}
    return Scatter(
        ticks=tuple((AxisTick(x(t), labels[t]), AxisTick(y(t), labels[t])) for t in ticks),
        dots=tuple(Dot(x(px), y(py), named, title) for px, py, named, title in points),
    )
