"""Axes of the plots, and the lines drawn on them, in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class AxisTick:
    """A mark on an axis."""

    at: float
    label: str


def nice_ticks(low: float, high: float, n: int) -> list[float]:
    """Round numbers that cover a range, about n of them."""
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class PlotLine:
    """Points joined to a line."""

    style: int
    points: tuple[tuple[float, float], ...]
    title: str
    name: str = ""

    @property
    def path(self) -> str:
        """Of an SVG."""
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in self.points)
