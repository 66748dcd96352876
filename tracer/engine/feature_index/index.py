"""An index, read feature by feature. Nothing here needs torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tracer.engine.feature_index.bins import EDGES, bins_of
from tracer.engine.feature_index.entries import (
    IndexAbout,
    IndexedText,
    IndexEntries,
    IndexSubject,
    TextRun,
    open_store,
    read_labels,
    whole_index,
)
from tracer.engine.store import key_of
from tracer.record.arrays import Arrays
from tracer.record.feature_card import FeatureId, LogitEffects
from tracer.record.feature_index import (
    LONGEST_LABEL,
    Histogram,
    IndexedFeature,
    IndexedSides,
    TextPlace,
    automatic_label,
)

N_TOLD = 3
"""Places of a feature that a run's record and a graph's file tell."""
_FOR_LABEL = 10
"""Places that the automatic label is made of, at most."""
_BEFORE, _AFTER = 12, 6
"""Tokens shown around the one that is meant."""


class AskedFeature(NamedTuple):
    """A feature as it is active somewhere."""

    layer: int
    feature: int
    is_negative: bool
    promotes: tuple[str, ...]
    """Clearly, as it is active; see `LogitEffects.clear`."""


@dataclass(frozen=True)
class IndexedLayer:
    """One layer of an index."""

    arrays: Arrays
    n_counted: int
    """Tokens."""

    def shares_above(
        self, sizes: Float[np.ndarray, " feature"], sign: int
    ) -> Float[np.ndarray, " feature"]:
        """Share of the tokens on which each feature is at least as active, to within a bin.

        The bin that |activation| is in counts as a whole. `sign` is 0 for activations above 0, 1
        for those below.
        """
        counts = self.arrays["counts"][:, sign]
        above = np.cumsum(counts[:, ::-1], 1)[:, ::-1]
        return above[np.arange(len(sizes)), bins_of(sizes)] / self.n_counted


@dataclass(frozen=True)
class FeatureIndex:
    """The index of one model and basis."""

    about: IndexAbout
    labels: Mapping[str, str]
    """That were given, by layer_index."""
    _entries: IndexEntries
    _generations: tuple[int, ...]
    _text: IndexedText

    @property
    def identity(self) -> list[str]:
        """All that what it tells depends on."""
        return _identity(self._entries, self.labels)

    def layer(self, layer: int) -> IndexedLayer | None:
        """Read a layer; None where its entry was spoilt meanwhile."""
        if layer >= len(self._generations):
            return None
        arrays = self._entries.read_layer(layer, self._generations[layer], self.about)
        return None if arrays is None else IndexedLayer(arrays, self.about.n_counted)

    def features(self, asked: Sequence[AskedFeature], most: int) -> list[IndexedFeature | None]:
        """What is told of features, with at most so many places of each.

        A layer is read once for all of its features, and let go of before the next.
        """
        found: list[IndexedFeature | None] = [None] * len(asked)
        for layer in sorted({each.layer for each in asked}):
            read = self.layer(layer)
            for n, each in enumerate(asked):
                if read is not None and each.layer == layer:
                    found[n] = self._told(read, each, most)
        return found

    def sides(self, feature: FeatureId, effects: LogitEffects, most: int) -> IndexedSides | None:
        """What is told of a feature, active above 0 and below; None where it cannot be read."""
        layer, number = feature
        read = self.layer(layer)
        if read is None:
            return None
        above = self._told(read, AskedFeature(layer, number, False, effects.clear()), most)
        below = self._told(read, AskedFeature(layer, number, True, effects.at(-1.0).clear()), most)
        assert above is not None, "the basis has no such feature"
        counts = read.arrays["counts"][number].tolist()
        histograms = [Histogram(EDGES, tuple(each)) for each in counts]
        return IndexedSides(
            self.about.n_tokens,
            above,
            below,
            histograms[0],
            histograms[1] if below is not None else None,
        )

    def _told(self, layer: IndexedLayer, asked: AskedFeature, most: int) -> IndexedFeature | None:
        """None for a sign that is not told of, or a feature that there is not."""
        values, sign = layer.arrays["values"], int(asked.is_negative)
        if sign >= values.shape[1] or asked.feature >= values.shape[0]:
            return None
        places = layer.arrays["places"][asked.feature, sign]
        n = int(np.count_nonzero(places >= 0))
        factor = -1.0 if asked.is_negative else 1.0
        told = [
            self._place(int(place), factor * float(value))
            for place, value in zip(
                places[: max(most, _FOR_LABEL)][:n].tolist(),
                values[asked.feature, sign][: max(most, _FOR_LABEL)][:n].tolist(),
                strict=True,
            )
        ]
        given = self.labels.get(f"{asked.layer}_{asked.feature}")
        tokens = [each.token for each in told[:_FOR_LABEL]]
        return IndexedFeature(
            label=(automatic_label(tokens, asked.promotes) if given is None else given)[
                :LONGEST_LABEL
            ],
            is_given=given is not None,
            share=int(layer.arrays["counts"][asked.feature, sign].sum()) / layer.n_counted,
            places=tuple(told[:most]),
            text="; ".join(self.about.text),
        )

    def _place(self, place: int, activation: float) -> TextPlace:
        """A place with its surroundings; of a character in several tokens, all of it is meant."""
        window, pos = divmod(place, self.about.length)
        windows, begin = self._text.windows, place - pos
        passage = windows.passage(window, pos)
        run = self._run(place)
        start, end = (place, place + 1) if run is None else (run.start, run.end)
        first, last = max(begin + passage.start, start - _BEFORE), begin + passage.stop
        return TextPlace(
            before=self._written(first, start),
            token=self._written(start, end),
            after=self._written(end, min(last, end + _AFTER)),
            activation=activation,
            title=windows.of(window, pos).title,
        )

    def _run(self, place: int) -> TextRun | None:
        """The run that a place is in."""
        at = bisect_right(self._text.runs, place, key=lambda run: run.start) - 1
        found = self._text.runs[at] if at >= 0 else None
        return found if found is not None and place < found.end else None

    def _written(self, start: int, end: int) -> str:
        """What the tokens write from one place to another of a window; runs as a whole."""
        parts: list[str] = []
        place = start
        while place < end:
            run = self._run(place)
            ids = self._text.windows.ids.ravel()
            parts.append(self._text.tokens[int(ids[place])] if run is None else run.text)
            place = place + 1 if run is None else run.end
        return "".join(parts)


def find_index(subject: IndexSubject) -> FeatureIndex | None:
    """The latest complete index of a model and basis; None where there is none."""
    store = open_store()
    whole = whole_index(store, subject)
    text = None if whole is None else whole.entries.read_text()
    if whole is None or text is None:
        return None
    about, shape = whole.about, text.windows.ids.shape
    if shape != (about.n_windows, about.length):
        return None
    labels = read_labels(store, subject)
    return FeatureIndex(about, labels, whole.entries, whole.generations, text)


def index_identity(subject: IndexSubject) -> list[str] | None:
    """The same as `FeatureIndex.identity` of what `find_index` finds; its text is not read."""
    store = open_store()
    whole = whole_index(store, subject)
    return None if whole is None else _identity(whole.entries, read_labels(store, subject))


def _identity(entries: IndexEntries, labels: Mapping[str, str]) -> list[str]:
    return [entries.key, key_of(dict(labels))]
