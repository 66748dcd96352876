"""Where an index lies: entries of a store, each checked when it is read. Nothing here needs torch.

An index has a key, the hash of all that it depends on: the weights of model and dictionary, the
windows of tokens, how many places are kept. Under it lie its text and, layer by layer, what was
counted. While it is made, layers are written every now and then, each time in the other one of two
generations, and then how far they are: so a killed process leaves one sound state. A whole index is
entered under its subject, the model and the dictionary, where it is found; so are given labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import platformdirs
from jaxtyping import Int
from pydantic import ValidationError

from tracer.engine.corpus.windows import PassageStart, Windows
from tracer.engine.feature_index.bins import N_BINS
from tracer.engine.store import Store, key_of
from tracer.errors import UsageError
from tracer.record.arrays import Arrays
from tracer.record.files import Recorded

MAX_BYTES = 8 * 2**30
"""All indexes together."""
_FORMAT = 1
Kind = TypeVar("Kind", bound=Recorded)


class IndexSubject(NamedTuple):
    """What an index tells of, by fingerprints."""

    model: str
    dictionary: str | None
    """None for neurons."""

    def key(self, what: str) -> str:
        """Of what is entered under it."""
        return key_of([_FORMAT, what, *self])


class IndexAbout(Recorded):
    """What was indexed."""

    model: str
    basis: str
    text: tuple[str, ...]
    """As pages name it, with the licence where that is known."""
    n_tokens: int
    """Special tokens in front of windows do not count."""
    n_counted: int
    """Of them, those that histograms and shares are of."""
    n_windows: int
    length: int
    """Of a window, in tokens."""
    n_places: int
    n_signs: int
    """2 where activations below 0 are told of, too."""
    widths: tuple[int, ...]
    """Features, by layer."""


class _Whole(Recorded):
    key: str
    about: IndexAbout
    generations: tuple[int, ...]


class _State(Recorded):
    n_done: int
    generation: int


class _Labels(Recorded):
    labels: dict[str, str]


class TextRun(NamedTuple):
    """Tokens that write characters together, of which each is a part of some bytes."""

    start: int
    """The place of the first."""
    end: int
    text: str


class IndexedText(NamedTuple):
    """The text's windows, and what its tokens write."""

    windows: Windows
    tokens: Mapping[int, str]
    """Each alone."""
    runs: tuple[TextRun, ...]
    """In the order of places."""


class Saved(NamedTuple):
    """Some layers as they were after some windows."""

    layers: tuple[Arrays, ...]
    n_done: int
    generation: int


def open_store() -> Store:
    """Where indexes are kept."""
    return Store(root(), MAX_BYTES)


def root() -> Path:
    """The folder of all indexes; it need not exist."""
    return platformdirs.user_cache_path("tracer", appauthor=False) / "indexes"


@dataclass(frozen=True)
class IndexEntries:
    """The entries of one index."""

    store: Store
    key: str

    @classmethod
    def of(
        cls, store: Store, subject: IndexSubject, windows: Windows, n_places: int
    ) -> IndexEntries:
        """Of the index of a text, made or not."""
        return cls(store, key_of([_FORMAT, *subject, windows.sha256, n_places]))

    def write_text(self, text: IndexedText) -> None:
        """Keep the text."""
        windows = text.windows
        arrays = {
            "ids": windows.ids.astype(np.int32),
            "numbers": windows.numbers.astype(np.int64),
            "starts": np.array([each.start for each in windows.origins], np.int64),
        }
        about = {
            "n_prefix": windows.n_prefix,
            "passages": [[each.source, each.title] for each in windows.origins],
            "tokens": [[token, written] for token, written in sorted(text.tokens.items())],
            "runs": [list(each) for each in text.runs],
        }
        self._write(self._text, arrays, about)

    def read_text(self) -> IndexedText | None:
        """The text; None where there is no sound one."""
        entry = self.store.read(self._text)
        if entry is None:
            return None
        try:
            starts = entry.arrays["starts"].tolist()
            passages: list[list[str]] = entry.about["passages"]
            origins = tuple(
                PassageStart(int(start), str(source), str(title))
                for start, (source, title) in zip(starts, passages, strict=True)
            )
            ids, numbers = entry.arrays["ids"], entry.arrays["numbers"]
            tokens = {int(token): str(written) for token, written in entry.about["tokens"]}
            windows = Windows(ids, int(entry.about["n_prefix"]), numbers, origins)
            runs = tuple(
                TextRun(int(start), int(end), str(written))
                for start, end, written in entry.about["runs"]
            )
            sound = ids.ndim == 2 and numbers.shape == ids.shape[:1] and len(origins) > 0
            sound = sound and set(np.unique(ids).tolist()) <= tokens.keys()
        except (LookupError, TypeError, ValueError):
            return None
        return IndexedText(windows, tokens, runs) if sound else None

    def write_layers(self, first: int, saved: Saved) -> None:
        """Keep some layers from `first` on, and then how far they are.

        Raises:
            UsageError: The disk does not take them; what stood there before stands.
        """
        for layer, arrays in enumerate(saved.layers, first):
            self._write(self._layer(layer, saved.generation), arrays, None)
        state = _State(n_done=saved.n_done, generation=saved.generation)
        self._write(self._state(first), {}, state.model_dump())

    def read_layers(self, layers: range, about: IndexAbout) -> Saved | None:
        """Layers as they were kept together; None where one is missing or unsound."""
        state = _read(self.store, self._state(layers.start), _State)
        if state is None:
            return None
        found = [self.read_layer(layer, state.generation, about) for layer in layers]
        whole = tuple(each for each in found if each is not None)
        return Saved(whole, state.n_done, state.generation) if len(whole) == len(found) else None

    def read_layer(self, layer: int, generation: int, about: IndexAbout) -> Arrays | None:
        """What was counted of a layer; None where there is nothing sound."""
        entry = self.store.read(self._layer(layer, generation))
        return entry.arrays if entry is not None and _fits(entry.arrays, layer, about) else None

    def enter(self, subject: IndexSubject, about: IndexAbout, generations: Sequence[int]) -> None:
        """Make this the index of a subject."""
        whole = _Whole(key=self.key, about=about, generations=tuple(generations))
        self._write(subject.key("index"), {}, whole.model_dump(mode="json"))

    def holds(self, generations: Sequence[int]) -> bool:
        """Whether text and layers are there; they count as used now."""
        layers = [self._layer(layer, each) for layer, each in enumerate(generations)]
        keys = [self._text, *layers]
        self.store.use(keys)
        return all(map(self.store.holds, keys))

    def _write(self, key: str, arrays: Arrays, about: Any) -> None:
        self.store.write(key, arrays, about)
        require_kept(self.store)

    @property
    def _text(self) -> str:
        return key_of([self.key, "text"])

    def _layer(self, layer: int, generation: int) -> str:
        return key_of([self.key, "layer", layer, generation])

    def _state(self, first: int) -> str:
        return key_of([self.key, "state", first])


class WholeIndex(NamedTuple):
    """An index that is complete."""

    entries: IndexEntries
    about: IndexAbout
    generations: tuple[int, ...]


def whole_index(store: Store, subject: IndexSubject) -> WholeIndex | None:
    """The index of a subject; None where none is complete."""
    found = _read(store, subject.key("index"), _Whole)
    if found is None or len(found.generations) != len(found.about.widths):
        return None
    entries = IndexEntries(store, found.key)
    if not entries.holds(found.generations):
        return None
    return WholeIndex(entries, found.about, found.generations)


def read_labels(store: Store, subject: IndexSubject) -> Mapping[str, str]:
    """Labels that were given to features, by layer_index."""
    found = _read(store, subject.key("labels"), _Labels)
    return {} if found is None else found.labels


def write_labels(store: Store, subject: IndexSubject, labels: Mapping[str, str]) -> None:
    """Give labels to features, in place of those that were given before.

    Raises:
        UsageError: They cannot be kept.
    """
    store.write(subject.key("labels"), {}, _Labels(labels=dict(labels)).model_dump())
    require_kept(store)


def require_kept(store: Store) -> None:
    """Refuse to go on where something could not be written.

    Raises:
        UsageError: It could not.
    """
    if store.failed is not None:
        raise UsageError(
            f"{store.folder}: the index cannot be kept here ({store.failed.strerror}). What was "
            "kept before stands; the same command goes on from there."
        )


def _read(store: Store, key: str, kind: type[Kind]) -> Kind | None:
    entry = store.read(key)
    try:
        return None if entry is None else kind.model_validate(entry.about, strict=False)
    except ValidationError:
        return None


def _fits(arrays: Arrays, layer: int, about: IndexAbout) -> bool:
    """Whether arrays are those of a layer: names, shapes, types, and places within the text."""
    shape = (about.widths[layer], about.n_signs)
    wanted: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "values": ((*shape, about.n_places), np.float32),
        "places": ((*shape, about.n_places), np.int32),
        "counts": ((*shape, N_BINS), np.int32),
    }
    if arrays.keys() != wanted.keys():
        return False
    if any(arrays[n].shape != shape or arrays[n].dtype != t for n, (shape, t) in wanted.items()):
        return False
    places: Int[np.ndarray, "feature sign place"] = arrays["places"]
    within = bool((places >= -1).all() and (places < about.n_windows * about.length).all())
    return within and bool(np.isfinite(arrays["values"]).all() and (arrays["counts"] >= 0).all())
