"""Make an index: stream windows of a text through the model, and count each layer as it passes.

Only the tallies stay in memory (`tally.layer_bytes` a layer), and the activations of one layer and
one batch. Where the tallies of all layers exceed `BUDGET`, groups of layers are made one after the
other, each with a pass of its own over the text. What was counted is kept every minute, so that a
killed process goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.corpus.windows import Windows
from tracer.engine.feature_index.entries import (
    IndexAbout,
    IndexedText,
    IndexEntries,
    Saved,
    TextRun,
    open_store,
)
from tracer.engine.feature_index.tally import LayerTally, layer_bytes, stride_of
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.memory import memory_told
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.progress import Advance, Progress
from tracer.engine.session import Opened, subject_of
from tracer.engine.store import MAX_ENTRY
from tracer.errors import EngineError
from tracer.hypothesis.vocabulary import text_inside, token_text

BUDGET = 2**30
"""Bytes of the tallies that are filled in one pass over the text."""
_AT_ONCE = 2**28
"""Bytes of one layer's activations in a batch."""
_WINDOWS_CPU, _WINDOWS_GPU = 4, 64
"""In a batch, at most."""
_REPLACED = "\ufffd"
"""Stands for bytes that are no character."""
EVERY = 60.0
"""Seconds after which what was counted is kept."""


class IndexRequest(NamedTuple):
    """What is to be indexed."""

    windows: Windows
    text: tuple[str, ...]
    """As pages name it."""
    n_places: int


class MadeIndex(NamedTuple):
    """An index, whole."""

    about: IndexAbout
    n_resumed: int
    """Windows that had been counted before, of the layers where these were most."""
    n_silent: int
    """Features that are active nowhere in the text."""


def make_index(opened: Opened, request: IndexRequest, progress: Progress) -> MadeIndex:
    """Index a text, or go on where a process was killed; what is whole is not made again.

    Args:
        opened: Model and basis.
        request: What is indexed.
        progress: Is told of windows.

    Raises:
        EngineError: Activations are not finite, too little memory, or a layer that is too wide.
        UsageError: The index cannot be kept.
    """
    subject, about = subject_of(opened), _about(opened, request)
    entries = IndexEntries.of(open_store(), subject, request.windows, request.n_places)
    entries.write_text(_text(opened.model, request.windows))
    groups = _layer_groups(about)
    counted: list[_Counted] = []
    generations: list[int] = []
    for layers in groups:
        label = "indexing the text"
        if len(groups) > 1:
            label += f", layers {layers.start} to {layers.stop - 1}"
        counting = _Counting(opened, request.windows, entries, about, layers)
        with progress.task(label, len(request.windows)) as advance, memory_told("a batch of text"):
            found = counting.run(advance)
        counted.append(found)
        generations += [found.generation] * len(layers)
    entries.enter(subject, about, generations)
    resumed = max(each.n_resumed for each in counted)
    return MadeIndex(about, resumed, sum(each.n_silent for each in counted))


def _layer_groups(about: IndexAbout) -> list[range]:
    """Layers whose tallies fit into the budget together.

    Raises:
        EngineError: One alone does not.
    """
    sizes = [layer_bytes(width, about.n_signs, about.n_places) for width in about.widths]
    found: list[range] = []
    start, total = 0, 0
    for layer, size in enumerate(sizes):
        if size > MAX_ENTRY:
            raise EngineError(
                f"layer {layer} has {about.widths[layer]:,} features: their examples would take "
                f"{size >> 20:,} MiB of at most {MAX_ENTRY >> 20}. Keep fewer examples of each."
            )
        if total + size > BUDGET and layer > start:
            found.append(range(start, layer))
            start, total = layer, 0
        total += size
    return [*found, range(start, len(sizes))]


def _about(opened: Opened, request: IndexRequest) -> IndexAbout:
    basis, windows = opened.basis, request.windows
    length, n_signs = windows.ids.shape[1], 1 if basis.is_sparse else 2
    return IndexAbout(
        model=opened.model.record.name,
        basis=basis.name,
        text=request.text,
        n_tokens=windows.n_tokens,
        n_counted=len(windows) * len(range(0, length - windows.n_prefix, stride_of(n_signs))),
        n_windows=len(windows),
        length=length,
        n_places=request.n_places,
        n_signs=n_signs,
        widths=tuple(basis.n_features(layer) for layer in range(basis.n_layers)),
    )


def _text(model: Model, windows: Windows) -> IndexedText:
    numbers = np.unique(windows.ids).tolist()
    tokens = {token: token_text(token, model.tokenizer) for token in numbers}
    broken = [token for token, written in tokens.items() if _REPLACED in written]
    return IndexedText(windows, tokens, tuple(_runs(model, windows, np.array(broken, np.int32))))


def _runs(model: Model, windows: Windows, broken: Int[np.ndarray, " token"]) -> Iterator[TextRun]:
    """Neighbours that are no characters alone, and what they write together."""
    there = np.isin(windows.ids, broken)
    ends = np.diff(np.pad(there, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    length = windows.ids.shape[1]
    firsts, lasts = np.argwhere(ends > 0).tolist(), np.argwhere(ends < 0).tolist()
    for (window, start), (_, end) in zip(firsts, lasts, strict=True):
        written = text_inside(windows.ids[window, start:end].tolist(), model.tokenizer)
        yield TextRun(window * length + start, window * length + end, written)


class _Counted(NamedTuple):
    generation: int
    n_resumed: int
    n_silent: int


@dataclass
class _Counting:
    """One pass of the text for some layers."""

    opened: Opened
    windows: Windows
    entries: IndexEntries
    about: IndexAbout
    layers: range

    def run(self, advance: Advance) -> _Counted:
        """Count all windows that are not counted yet."""
        saved = self.entries.read_layers(self.layers, self.about)
        device = self.opened.model.device
        tallies = self._new() if saved is None else [LayerTally.of(x, device) for x in saved.layers]
        resumed, generation = (0, 1) if saved is None else (saved.n_done, saved.generation)
        advance(resumed)
        n_done, kept_at = resumed, time.monotonic()
        while n_done < len(self.windows):
            batch = slice(n_done, min(n_done + batch_size(device), len(self.windows)))
            self._add(batch, tallies)
            advance(batch.stop - batch.start)
            n_done = batch.stop
            if n_done == len(self.windows) or time.monotonic() - kept_at > EVERY:
                generation = 1 - generation
                layers = tuple(tally.arrays() for tally in tallies)
                self.entries.write_layers(self.layers.start, Saved(layers, n_done, generation))
                kept_at = time.monotonic()
        silent = sum(int((tally.values[:, :, 0] == 0).all(1).sum()) for tally in tallies)
        return _Counted(generation, resumed, silent)

    def _new(self) -> list[LayerTally]:
        about, device = self.about, self.opened.model.device
        widths = (about.widths[layer] for layer in self.layers)
        return [LayerTally(width, about.n_signs, about.n_places, device) for width in widths]

    def _add(self, batch: slice, tallies: Sequence[LayerTally]) -> None:
        model, n_prefix = self.opened.model, self.windows.n_prefix
        rows = torch.arange(batch.start, batch.stop, dtype=torch.int32, device=model.device)
        starts = rows * self.about.length + n_prefix
        finite: list[Tensor] = []
        hooks = [
            counting_hook(self.opened.basis, layer, tally, starts, n_prefix, finite)
            for layer, tally in zip(self.layers, tallies, strict=True)
        ]
        model.read(torch.from_numpy(self.windows.ids[batch]).long(), hooks)
        if not bool(torch.stack(finite).all()):
            raise EngineError("activations are not finite on this text. Try dtype float32.")


def counting_hook(
    basis: FeatureBasis,
    layer: int,
    tally: LayerTally,
    starts: Int[Tensor, " window"],
    n_prefix: int,
    finite: list[Tensor],
) -> tuple[Site, Hook]:
    """What counts a layer while a batch passes; whether all is finite is added to a list."""
    a_window = basis.n_features(layer) * 4

    def count(x: Float[Tensor, "window pos d_read"]) -> None:
        text = x[:, n_prefix:]
        n = max(1, _AT_ONCE // (a_window * text.shape[1]))
        for part, first in zip(text.split(n), starts.split(n), strict=True):
            finite.append(tally.add(basis.encode(layer, part), first))

    return basis.read_site(layer), count


def batch_size(device: torch.device) -> int:
    """Windows that go through the model at once."""
    return _WINDOWS_CPU if device.type == "cpu" else _WINDOWS_GPU
