"""Geometry of the plot of faithfulness over the share of features that is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.evidence.wording import MINUS
from tracer.hypothesis.studies.circuit import SHARES
from tracer.report.plots import AxisTick, Scale, nice_ticks
from tracer.report.text import number, percent

WIDTH, HEIGHT = 460.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 448.0, 10.0, 190.0


@dataclass(frozen=True)
class CurveLine:
    """One split's curve."""

    style: int
    name: str
    points: tuple[tuple[float, float], ...]
    path: str
    title: str


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

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    lines: tuple[CurveLine, ...]
    marks: tuple[CircuitMark, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    whole: float
    """Where f = 1 stands."""
    caption: str


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
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
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
        y_ticks=tuple(AxisTick(y(t), f"{t:g}".replace("-", MINUS)) for t in ticks),
        whole=y(1.0),
        caption=caption,
    )


def _line(style: int, name: str, curve: Sequence[float], x: Scale, y: Scale) -> CurveLine:
    points = tuple((x(math.log10(k)), y(f)) for k, f in zip(SHARES, curve, strict=True))
    told = ", ".join(f"{percent(k)} {number(f)}" for k, f in zip(SHARES, curve, strict=True))
    path = "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
    return CurveLine(style, name, points, path, f"{name}: {told}")
