"""Features shared across languages, as the report shows them: overlap by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracer.evidence.studies.shared import means
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.record.arrays import Arrays, overlap_key
from tracer.record.record import Record
from tracer.report.plots import AxisTick, PlotLine, Scale, nice_ticks
from tracer.report.text import number, percent, plural

LEFT, RIGHT, BASE = 44.0, 408.0, 158.0


@dataclass(frozen=True)
class LayerPlot:
    """Overlap up, layers across."""

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


@dataclass(frozen=True)
class SplitView:
    """The lists of one split."""

    split: str
    lists: str
    plot: LayerPlot


@dataclass(frozen=True)
class SharedView:
    """One claim."""

    name: str
    note: str
    splits: tuple[SplitView, ...]


def shared_views(record: Record, arrays: Arrays) -> tuple[SharedView, ...]:
    """Every claim of shared representation, in the file's order."""
    return tuple(
        _view(record, name, np.asarray(arrays[overlap_key(name)], dtype=np.float64))
        for name in record.shared
        if overlap_key(name) in arrays
    )


def _view(
    record: Record, name: str, overlaps: Float[np.ndarray, "pair layer meaning other"]
) -> SharedView:
    spec, found = record.hypothesis.studies_of(SharedSpec)[name], record.shared[name]
    layers = [each.overlap for each in spec.expect]
    by_split: dict[str, list[int]] = {"discovery": [], "held out": []}
    for n, names in enumerate(spec.translations):
        held_out = record.prompts[names[0]].held_out
        by_split["held out" if held_out else "discovery"].append(n)
    active = sum(found.n_active) / len(found.n_active)
    return SharedView(
        name=name,
        note=(
            f"{plural(len(spec.translations[0]), 'language')}, {number(active, 0)} active features "
            f"of a layer on a prompt ({'all tokens' if spec.at == 'all' else spec.at}), on average."
        ),
        splits=tuple(
            SplitView(
                split=split,
                lists=plural(len(lists), "meaning"),
                plot=_plot(overlaps[:, :, lists][:, :, :, lists], layers),
            )
            for split, lists in by_split.items()
            if lists
        ),
    )


def _plot(
    overlaps: Float[np.ndarray, "pair layer meaning meaning"], layers: Sequence[tuple[int, int]]
) -> LayerPlot:
    by_layer = [means(overlaps[:, layer]) for layer in range(overlaps.shape[1])]
    series: list[tuple[str, list[float | None]]] = [
        ("translations", [each.translations for each in by_layer]),
        ("unrelated", [each.unrelated for each in by_layer]),
    ]
    there = [v for _, values in series for v in values if v is not None and np.isfinite(v)]
    ticks = nice_ticks(0.0, max([0.01, *there]), 4)
    last = float(max(len(by_layer) - 1, 1))
    x, y = Scale(0.0, last, LEFT + 6, RIGHT - 6), Scale(ticks[0], ticks[-1], BASE, 10.0)
    lines = tuple(_line(style, name, values, x, y) for style, (name, values) in enumerate(series))
    step = max(1, len(by_layer) // 9)
    half = (x(1.0) - x(0.0)) / 2
    return LayerPlot(
        lines=lines,
        x_ticks=tuple(AxisTick(x(float(n)), str(n)) for n in range(0, len(by_layer), step)),
        y_ticks=tuple(AxisTick(y(t), percent(t)) for t in ticks),
        tested=tuple(
            _band(x(float(first)) - half, x(float(end)) + half)
            for first, end in dict.fromkeys(layers)
        ),
        description="; ".join(line.title for line in lines),
    )


def _band(start: float, end: float) -> tuple[float, float]:
    """Cut to the plot: left edge and width."""
    left = max(LEFT, start)
    return left, min(RIGHT, end) - left


def _line(style: int, name: str, values: Sequence[float | None], x: Scale, y: Scale) -> PlotLine:
    kept = [(n, v) for n, v in enumerate(values) if v is not None and np.isfinite(v)]
    points = tuple((x(float(n)), y(v)) for n, v in kept)
    return PlotLine(
        style, points, f"{name}: " + ", ".join(f"layer {n} {percent(v)}" for n, v in kept)
    )
