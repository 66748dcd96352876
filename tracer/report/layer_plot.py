"""Geometry of a number by layer: a line for each of several series, upwards from 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tracer.report.plots import AxisTick, PlotLine, Scale, nice_ticks

LEFT, RIGHT, BASE = 44.0, 408.0, 158.0
_LEAST = 0.01
"""The upper end of the axis where all numbers are below it."""


@dataclass(frozen=True)
class LayerPlot:
    """Numbers up, layers across."""

    lines: tuple[PlotLine, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    tested: tuple[tuple[float, float], ...]
    """Left edge and width of the layers that an expectation names."""
    description: str
    width: float = 420.0
    height: float = 190.0
    left: float = LEFT
    right: float = RIGHT
    base: float = BASE


def layer_plot(
    series: Mapping[str, Sequence[float | None]],
    show: Callable[[float], str],
    tested: Sequence[tuple[int, int]] = (),
) -> LayerPlot:
    """Lay out numbers by layer, none below 0; a layer without one has no point.

    Args:
        series: Numbers by layer, by the name of the line; the style of a line is its place.
        show: Writes a number.
        tested: First and last of the layers that an expectation names.
    """
    n_layers = max(map(len, series.values()))
    there = [v for values in series.values() for v in values if v is not None and math.isfinite(v)]
    ticks = nice_ticks(0.0, max([_LEAST, *there]), 4)
    last = float(max(n_layers - 1, 1))
    x, y = Scale(0.0, last, LEFT + 6, RIGHT - 6), Scale(ticks[0], ticks[-1], BASE, 10.0)

    def line(style: int, name: str, values: Sequence[float | None]) -> PlotLine:
        kept = [(n, v) for n, v in enumerate(values) if v is not None and math.isfinite(v)]
        points = tuple((x(float(n)), y(v)) for n, v in kept)
        text = ", ".join(f"layer {n} {show(v)}" for n, v in kept)
        return PlotLine(style, points, f"{name}: {text}")

    lines = tuple(line(style, *named) for style, named in enumerate(series.items()))
    half = (x(1.0) - x(0.0)) / 2
    return LayerPlot(
        lines=lines,
        x_ticks=tuple(
            AxisTick(x(float(n)), str(n)) for n in range(0, n_layers, max(1, n_layers // 9))
        ),
        y_ticks=tuple(AxisTick(y(tick), show(tick)) for tick in ticks),
        tested=tuple(
            _band(x(float(first)) - half, x(float(end)) + half)
            for first, end in dict.fromkeys(tested)
        ),
        description="; ".join(line.title for line in lines),
    )


def _band(start: float, end: float) -> tuple[float, float]:
    """Cut to the plot: left edge and width."""
    left = max(LEFT, start)
    return left, min(RIGHT, end) - left
