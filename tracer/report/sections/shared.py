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
from tracer.report.layer_plot import LayerPlot, layer_plot
from tracer.report.text import number, percent, plural


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
    series = {
        "translations": [each.translations for each in by_layer],
        "unrelated": [each.unrelated for each in by_layer],
    }
    return layer_plot(series, percent, layers)
