"""Where in a text features are strongly active: every line a pass of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.card import Example, FeatureId, Line, OnText
from tracer.errors import EngineError
from tracer.features.basis import FeatureBasis
from tracer.memory import memory_told
from tracer.model.model import Hook, Model, Site
from tracer.opened import Opened
from tracer.progress import Progress
from tracer.replacement.state import n_fixed

MAX_TOKENS = 1024
"""Lines are cut to so many tokens: attention's memory grows with the square."""
_BEFORE, _AFTER = 12, 6
"""Tokens shown around the one that is meant."""


def on_text(
    opened: Opened,
    features: Sequence[FeatureId],
    lines: Sequence[Line],
    top: int,
    progress: Progress,
) -> list[OnText]:
    """What each feature does on the lines.

    Raises:
        EngineError: An activation is not finite, or too little memory.
    """
    tallies = [_Tally(top) for _ in features]
    tokenizer = opened.model.tokenizer
    length, n_cut = min(opened.model.context, MAX_TOKENS), 0
    of_line = partial(activations_of, opened.model, opened.basis, features)
    with progress.task("running the text", len(lines)) as advance, memory_told("a line's pass"):
        for line in lines:
            ids = list(tokenizer(line.text, add_special_tokens=True)["input_ids"])
            n_cut += len(ids) > length
            ids = ids[:length]
            if ids:
                first = n_fixed(ids, tokenizer.all_special_ids)
                read = _Read(line.number, ids, first, tokenizer)
                for tally, mine in zip(tallies, of_line(ids), strict=True):
                    tally.add(mine[first:], read)
            advance(1)
    if n_cut:
        progress.note(f"lines cut to {length} tokens: {n_cut}")
    return [tally.result() for tally in tallies]


@dataclass(frozen=True)
class _Read:
    """A line as the model read it, from the first token that counts."""

    number: int
    ids: list[int]
    first: int
    tokenizer: Any

    def example(self, pos: int, activation: float) -> Example:
        """What stands around a place; `pos` counts from `first`."""
        at = self.first + pos
        before = self.ids[max(self.first, at - _BEFORE) : at]
        after = self.ids[at + 1 : at + 1 + _AFTER]
        texts = [str(self.tokenizer.decode(ids)) for ids in (before, self.ids[at : at + 1], after)]
        return Example(activation, self.number, *texts)


@dataclass
class _Tally:
    """One feature's counts and examples so far."""

    top: int
    n_tokens: int = 0
    n_positive: int = 0
    n_negative: int = 0
    positive: list[Example] = field(default_factory=list[Example])
    negative: list[Example] = field(default_factory=list[Example])

    def add(self, activations: Float[Tensor, " pos"], read: _Read) -> None:
        """Count a line, and keep its strongest places where they are among the best."""
        self.n_tokens += len(activations)
        self.n_positive += int((activations > 0).sum())
        self.n_negative += int((activations < 0).sum())
        for signed, kept in ((activations, self.positive), (-activations, self.negative)):
            pos = int(signed.argmax())
            if signed[pos] > 0:
                kept.append(read.example(pos, float(activations[pos])))
                # The sort is stable: of equally strong lines the earlier one stays first.
                kept.sort(key=lambda example: -abs(example.activation))
                del kept[self.top :]

    def result(self) -> OnText:
        """As it is told."""
        counts = (self.n_tokens, self.n_positive, self.n_negative)
        return OnText(*counts, tuple(self.positive), tuple(self.negative))


def activations_of(
    model: Model, basis: FeatureBasis, features: Sequence[FeatureId], ids: Sequence[int]
) -> Float[Tensor, "feature pos"]:
    """Of single features at every position of one line.

    Raises:
        EngineError: One is not finite.
    """
    seen: dict[Site, Tensor] = {}

    def keep(site: Site) -> tuple[Site, Hook]:
        return site, lambda x: seen.__setitem__(site, x.detach())

    sites = sorted({basis.read_site(layer) for layer, _ in features})
    model.clean(torch.tensor(ids), [keep(site) for site in sites])
    pos = torch.arange(len(ids), device=model.device)
    row = torch.zeros_like(pos)
    found = torch.stack(
        [
            basis.encode_at(
                layer, seen[basis.read_site(layer)], row, pos, torch.full_like(pos, index)
            )
            for layer, index in features
        ]
    )
    if not bool(torch.isfinite(found).all()):
        raise EngineError("activations are not finite on this text. Try dtype float32.")
    return found.float().cpu()
