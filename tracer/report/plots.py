"""Geometry of the small plots: axes, output bars, control strips, dose curves.

Each function turns numbers into pixels; `plots.svg.j2` draws them with classes only, so colours
follow the page (light, dark, print).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.hypothesis.clamps import Amount
from tracer.report.effects import EffectComparison, Measure
from tracer.report.limits import MAX_DOTS
from tracer.report.text import formatted, p_value, percent, plural, shorten, visible_token

BARS_LEFT, BARS_WIDTH = 112.0, 340.0
STRIP_LEFT, STRIP_RIGHT = 124.0, 740.0
DOSE_WIDTH, DOSE_HEIGHT = 236.0, 142.0
Series = Sequence[tuple[str, Sequence[tuple[float, float]]]]
"""Token and its (factor, probability) points."""


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


@dataclass(frozen=True)
class Bar:
    """A token's probability before and after; an unrecorded one has only a bound."""

    token: str
    full: str
    asked: bool
    y: float
    before: float
    before_label: str
    after: float
    after_label: str


@dataclass(frozen=True)
class Bars:
    """Top outputs of one prompt, unclamped (hatched) over clamped (solid)."""

    bars: tuple[Bar, ...]
    height: float
    width: float = BARS_WIDTH
    left: float = BARS_LEFT


@dataclass(frozen=True)
class Output:
    """A token's probability in two outputs; None where it was below both recorded lists."""

    token: str
    asked: bool
    before: float | None
    after: float | None
    bound_before: float
    bound_after: float


def bars(outputs: Sequence[Output], limit: float) -> Bars:
    """Lay out bars; `limit` is the probability the longest bar would have."""
    row = 32.0
    scale = Scale(0.0, limit, 0.0, BARS_WIDTH - BARS_LEFT - 50)
    return Bars(
        height=row * len(outputs) + 2,
        bars=tuple(
            Bar(
                token=shorten(visible_token(o.token), 15),
                full=visible_token(o.token),
                asked=o.asked,
                y=i * row + 3,
                before=scale(_length(o.before)),
                before_label=_bounded(o.before, o.bound_before),
                after=scale(_length(o.after)),
                after_label=_bounded(o.after, o.bound_after),
            )
            for i, o in enumerate(outputs)
        ),
    )


def _length(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else 0.0


def _bounded(value: float | None, bound: float) -> str:
    return percent(value) if value is not None else f"≤ {percent(bound)}".replace("≤ <", "<")


@dataclass(frozen=True)
class StripRow:
    """One prompt: its controls as dots, the unclamped value, and the effect."""

    label: str
    y: float
    dots: str
    """An SVG path of round-capped points."""
    before: float
    after: float
    value: str
    note: str
    title: str


@dataclass(frozen=True)
class StripGroup:
    """The prompts of one split."""

    label: str
    y: float


@dataclass(frozen=True)
class Strip:
    """Effect against matched controls, one row per prompt on one axis."""

    title: str
    groups: tuple[StripGroup, ...]
    rows: tuple[StripRow, ...]
    ticks: tuple[AxisTick, ...]
    axis_y: float
    height: float
    width: float = 900.0
    left: float = STRIP_LEFT
    right: float = STRIP_RIGHT


def strip(measure: Measure, comparisons: Sequence[EffectComparison]) -> Strip:
    """Lay out the control strips of one measure; discovery prompts come first."""
    values = [v for c in comparisons for v in (*c.controls, c.before, c.after)]
    ticks = nice_ticks(min(values), max(values) + 1e-6, 6)
    scale = Scale(ticks[0], ticks[-1], STRIP_LEFT, STRIP_RIGHT)
    y = 2.0
    groups: list[StripGroup] = []
    rows: list[StripRow] = []
    for held_out in (False, True):
        members = [c for c in comparisons if c.held_out == held_out]
        if not members:
            continue
        groups.append(StripGroup("held out" if held_out else "discovery", y + 12))
        y += 18
        for comparison in members:
            rows.append(_strip_row(measure, comparison, scale, y + 12))
            y += 25
        y += 4
    return Strip(
        title=measure.title,
        groups=tuple(groups),
        rows=tuple(rows),
        ticks=tuple(AxisTick(scale(t), tick_label(measure, t, ticks)) for t in ticks),
        axis_y=y,
        height=y + 24,
    )


def tick_label(measure: Measure, value: float, ticks: Sequence[float]) -> str:
    """An axis number with as few digits as keep the ticks apart."""
    if measure.kind == "probability":
        return percent(round(value, 6))
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return formatted(value + 0.0, f".{digits}f")


def _strip_row(measure: Measure, c: EffectComparison, scale: Scale, y: float) -> StripRow:
    n = len(c.controls)
    controls = plural(n, "control") if n else "no controls"
    drawn = f", {MAX_DOTS} of them drawn" if n > MAX_DOTS else ""
    return StripRow(
        label=shorten(c.prompt, 17),
        y=y,
        dots=_dots(c.controls, scale, y),
        before=scale(c.before),
        after=scale(c.after),
        value=measure.show(c.after),
        note="" if c.p is None else f"p {p_value(c.p)}",
        title=f"{c.prompt}: {measure.show(c.before)} unclamped, {measure.show(c.after)} clamped"
        + f"; {controls}{drawn}"
        + ("" if c.p is None else f", p = {p_value(c.p)}"),
    )


def _dots(controls: Sequence[float], scale: Scale, y: float) -> str:
    """Points spread vertically by a golden-ratio sequence: even, and the same every time."""
    spread = (((i * 0.618034) % 1 - 0.5) * 14 for i in itertools.count())
    dots = zip(_with_room(controls), spread, strict=False)
    return "".join(f"M{scale(c):.1f} {y + s:.1f}h0" for c, s in dots)


def _with_room(controls: Sequence[float]) -> Sequence[float]:
    """As many controls as a row has room for: of too many, evenly spaced ranks with both ends."""
    if len(controls) <= MAX_DOTS:
        return controls
    ranked, last = sorted(controls), len(controls) - 1
    return [ranked[round(i * last / (MAX_DOTS - 1))] for i in range(MAX_DOTS)]


@dataclass(frozen=True)
class DosePanel:
    """The dose series of one prompt."""

    prompt: str
    held_out: bool
    lines: tuple[PlotLine, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    used: float | None
    """Where the factor that the intervention itself uses stands."""
    description: str
    width: float = DOSE_WIDTH
    height: float = DOSE_HEIGHT


def dose_panel(
    prompt: str, series: Series, limit: float, used: Amount, *, held_out: bool
) -> DosePanel:
    """Lay out one prompt's dose curves; `limit` is the top of the axis shared by all prompts.

    `used` is the amount of the intervention itself, whose unit the doses have.
    """
    factors = sorted({f for _, points in series for f, _ in points})
    x = Scale(factors[0], factors[-1] + (0.0 if len(factors) > 1 else 1.0), 40.0, DOSE_WIDTH - 14)
    y = Scale(0.0, limit, DOSE_HEIGHT - 22, 8.0)
    lines: list[PlotLine] = []
    for style, (token, values) in enumerate(series):
        points = tuple((x(f), y(p)) for f, p in sorted(values))
        text = ", ".join(f"{Amount(used.unit, f).words()} {percent(p)}" for f, p in sorted(values))
        lines.append(PlotLine(style, points, f"{visible_token(token)}: {text}"))
    shown = factors if len(factors) <= 7 else [factors[0], factors[len(factors) // 2], factors[-1]]
    return DosePanel(
        prompt=prompt,
        held_out=held_out,
        lines=tuple(lines),
        x_ticks=tuple(AxisTick(x(f), formatted(f, "g")) for f in shown),
        y_ticks=tuple(AxisTick(y(p), percent(p)) for p in nice_ticks(0.0, limit, 3) if p <= limit),
        used=x(used.value) if factors[0] <= used.value <= factors[-1] else None,
        description="; ".join(line.title for line in lines),
    )
