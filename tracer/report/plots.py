"""Geometry of the small plots: output bars, control strips, dose curves.

Each function turns numbers into pixels; `plots.svg.j2` draws them with classes only, so colours
follow the page (light, dark, print).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tracer.evidence.wording import MINUS
from tracer.hypothesis.clamps import Amount
from tracer.report.effects import EffectComparison, Measure
from tracer.report.limits import MAX_DOTS
from tracer.report.text import p_value, percent, plural, shorten, visible_token


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

    width: float
    height: float
    left: float
    bars: tuple[Bar, ...]


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
    left, width, row = 112.0, 340.0, 32.0
    scale = Scale(0.0, limit, 0.0, width - left - 50)
    return Bars(
        width=width,
        height=row * len(outputs) + 2,
        left=left,
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

    width: float
    height: float
    left: float
    right: float
    axis_y: float
    title: str
    groups: tuple[StripGroup, ...]
    rows: tuple[StripRow, ...]
    ticks: tuple[AxisTick, ...]


def strip(measure: Measure, comparisons: Sequence[EffectComparison]) -> Strip:
    """Lay out the control strips of one measure; discovery prompts come first."""
    values = [v for c in comparisons for v in (*c.controls, c.before, c.after)]
    ticks = nice_ticks(min(values), max(values) + 1e-6, 6)
    left, right, width = 124.0, 740.0, 900.0
    scale = Scale(ticks[0], ticks[-1], left, right)
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
        width=width,
        height=y + 24,
        left=left,
        right=right,
        axis_y=y,
        title=measure.title,
        groups=tuple(groups),
        rows=tuple(rows),
        ticks=tuple(AxisTick(scale(t), tick_label(measure, t, ticks)) for t in ticks),
    )


def tick_label(measure: Measure, value: float, ticks: Sequence[float]) -> str:
    """An axis number with as few digits as keep the ticks apart."""
    if measure.kind == "probability":
        return percent(round(value, 6))
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return f"{value + 0.0:.{digits}f}".replace("-", MINUS)


def _strip_row(measure: Measure, c: EffectComparison, scale: Scale, y: float) -> StripRow:
    note = f"p {p_value(c.p)}" if c.p is not None else ""
    return StripRow(
        label=shorten(c.prompt, 17),
        y=y,
        dots=_dots(c.controls, scale, y),
        before=scale(c.before),
        after=scale(c.after),
        value=measure.show(c.after),
        note=note,
        title=f"{c.prompt}: {measure.show(c.before)} unclamped, {measure.show(c.after)} clamped"
        + (f"; {_controls_words(len(c.controls))}" if c.controls else "; no controls")
        + (f", p = {p_value(c.p)}" if c.p is not None else ""),
    )


def _controls_words(n: int) -> str:
    return plural(n, "control") + (f", {MAX_DOTS} of them drawn" if n > MAX_DOTS else "")


def _dots(controls: Sequence[float], scale: Scale, y: float) -> str:
    """Points spread vertically by a golden-ratio sequence: even, and the same every time."""
    drawn = _drawn(controls)
    spread = [((i * 0.618034) % 1 - 0.5) * 14 for i in range(len(drawn))]
    return "".join(f"M{scale(c):.1f} {y + s:.1f}h0" for c, s in zip(drawn, spread, strict=True))


def _drawn(controls: Sequence[float]) -> Sequence[float]:
    """Controls as a row has room for them: of too many, evenly spaced ranks with both ends."""
    if len(controls) <= MAX_DOTS:
        return controls
    ranked, last = sorted(controls), len(controls) - 1
    return [ranked[round(i * last / (MAX_DOTS - 1))] for i in range(MAX_DOTS)]


@dataclass(frozen=True)
class DoseLine:
    """One token's probability over the doses."""

    style: int
    points: tuple[tuple[float, float], ...]
    path: str
    title: str


@dataclass(frozen=True)
class DosePanel:
    """The dose series of one prompt."""

    prompt: str
    held_out: bool
    width: float
    height: float
    lines: tuple[DoseLine, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]
    used: float | None
    """Where the factor that the intervention itself uses stands."""
    description: str


Series = Sequence[tuple[str, Sequence[tuple[float, float]]]]
"""Token and its (factor, probability) points."""


def dose_panel(
    prompt: str, series: Series, limit: float, used: Amount, *, held_out: bool
) -> DosePanel:
    """Lay out one prompt's dose curves; `limit` is the top of the axis shared by all prompts.

    `used` is the amount of the intervention itself, whose unit the doses have.
    """
    width, height = 236.0, 142.0
    factors = sorted({f for _, points in series for f, _ in points})
    x = Scale(factors[0], factors[-1] + (0.0 if len(factors) > 1 else 1.0), 40.0, width - 14)
    y = Scale(0.0, limit, height - 22, 8.0)
    lines: list[DoseLine] = []
    for style, (token, values) in enumerate(series):
        points = tuple((x(f), y(p)) for f, p in sorted(values))
        told = ", ".join(f"{Amount(used.unit, f).words()} {percent(p)}" for f, p in sorted(values))
        lines.append(
            DoseLine(
                style=style,
                points=points,
                path="M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in points),
                title=f"{visible_token(token)}: {told}",
            )
        )
    shown = factors if len(factors) <= 7 else [factors[0], factors[len(factors) // 2], factors[-1]]
    return DosePanel(
        prompt=prompt,
        held_out=held_out,
        width=width,
        height=height,
        lines=tuple(lines),
        x_ticks=tuple(AxisTick(x(f), f"{f:g}".replace("-", MINUS)) for f in shown),
        y_ticks=tuple(AxisTick(y(p), percent(p)) for p in nice_ticks(0.0, limit, 3) if p <= limit),
        used=x(used.value) if factors[0] <= used.value <= factors[-1] else None,
        description="; ".join(line.title for line in lines),
    )
