"""Generate text under clamps, token by token, from each row's own keys and values.

The prompt is passed once, clamped as any row is; its cache then holds the clamped keys and values,
and every further token is one position more. A clamp that goes on is set again at each of them; any
other acts through what it left in the cache. What a token's pass computes is what one pass over the
whole text with the same clamps would compute at that position.

Frozen attention holds the prompt's patterns, and patterns that are set are set at the prompt's
queries; a generated position has no unclamped pattern that it could be held to, and attends freely.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.batches import BatchLimit, Row, in_batches
from tracer.engine.clamps import GoingOn
from tracer.engine.clean import CleanRun, require_finite
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import PlaceValues
from tracer.engine.forward import clamp_hooks, flatten
from tracer.engine.freeze import held_hooks
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, cache_of
from tracer.engine.patterns import pattern_hooks


@dataclass(frozen=True)
class TextRow:
    """One text to be written."""

    row: Row
    onward: GoingOn
    """What is set or added at every generated position."""
    n_tokens: int
    temperature: float
    """0 takes the most probable token, of equal ones the lower id."""
    draws: str
    """Names a stream of random numbers: rows of one name draw alike."""


class WrittenText(NamedTuple):
    """One text, without the token that ended it."""

    ids: tuple[int, ...]
    stopped: bool


def write(
    model: Model, basis: FeatureBasis, clean: CleanRun, rows: Sequence[TextRow], limit: BatchLimit
) -> list[WrittenText]:
    """Go on with a prompt under each row's clamps; batched by freeze mode.

    Raises:
        EngineError: Logits are not finite, or one row alone does not fit into memory.
    """
    assert all(text.row.freeze != "all" for text in rows)
    found: dict[int, WrittenText] = {}

    def run(numbers: list[int]) -> dict[int, WrittenText]:
        batch = [rows[n] for n in numbers]
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
            return dict(zip(numbers, _write_batch(model, basis, clean, batch), strict=True))

    for some in in_batches([text.row for text in rows], clean, limit, run):
        found |= some
    return [found[n] for n in range(len(rows))]


def _write_batch(
    model: Model, basis: FeatureBasis, clean: CleanRun, texts: Sequence[TextRow]
) -> list[WrittenText]:
    rows = [text.row for text in texts]
    start = min(row.start(clean)[0] for row in rows)
    cache = cache_of(clean.prefix.until(start), len(rows), 0)
    clamps = flatten([row.values for row in rows], start, len(clean.ids) - start, clean.logits)
    frozen = held_hooks(model, basis, clean, start, rows[0].freeze)
    hooks = [*frozen, *clamp_hooks(basis, clamps, {}, {}, None)]
    hooks += pattern_hooks([row.patterns for row in rows], [()] * len(rows), [], start)
    ids = clean.ids[start:].expand(len(rows), -1)
    then = _onward_hooks(basis, texts, clean)
    pens = [_Pen(text, model.stop_ids) for text in texts]
    while True:
        logits = model.go_on(ids, [(Site("unembed_in", 0), torch.Tensor.contiguous), *hooks], cache)
        require_finite(logits, clean.prompt.name, "while it writes under a clamp")
        chosen = [pen.choose(row) for pen, row in zip(pens, logits.cpu(), strict=True)]
        if all(pen.is_done for pen in pens):
            return [WrittenText(tuple(pen.ids), pen.stopped) for pen in pens]
        ids, hooks = torch.tensor(chosen)[:, None], then


def _onward_hooks(
    basis: FeatureBasis, texts: Sequence[TextRow], clean: CleanRun
) -> list[tuple[Site, Hook]]:
    """Hooks that set what goes on at the one position of a further pass."""
    like = clean.logits
    sets = flatten([_there(text.onward.values) for text in texts], 0, 1, like)
    adds = flatten([_there(text.onward.added) for text in texts], 0, 1, like)
    zero = {layer: torch.zeros_like(flat.value) for layer, flat in adds.items()}
    return [*clamp_hooks(basis, sets, {}, {}, None), *clamp_hooks(basis, adds, {}, {}, zero)]


def _there(features: Mapping[tuple[int, int], float]) -> PlaceValues:
    """At the one position of a pass."""
    return PlaceValues.of({(layer, 0, index): value for (layer, index), value in features.items()})


class _Pen:
    """Chooses one row's tokens, until a stop token or the limit."""

    def __init__(self, text: TextRow, stop_ids: frozenset[int]) -> None:
        self.ids: list[int] = []
        self.stopped = False
        self._text, self._stop_ids = text, stop_ids
        digest = hashlib.sha256(text.draws.encode()).digest()
        self._rng = np.random.default_rng(list(digest))

    @property
    def is_done(self) -> bool:
        return self.stopped or len(self.ids) >= self._text.n_tokens

    def choose(self, logits: Float[Tensor, " vocab"]) -> int:
        """The next token; a text that is done goes on in the batch, but is not kept."""
        best = int((logits == logits.max()).nonzero()[0])
        if self.is_done:
            return best
        chosen = best if self._text.temperature == 0 else self._draw(logits)
        self.stopped = chosen in self._stop_ids
        if not self.stopped:
            self.ids.append(chosen)
        return chosen

    def _draw(self, logits: Float[Tensor, " vocab"]) -> int:
        """Inverse of the cumulative distribution at one uniform number, in double precision."""
        shares = torch.softmax(logits.double() / self._text.temperature, dim=-1)
        total = torch.cumsum(shares, dim=-1)
        at = self._rng.random() * float(total[-1])
        found = int(torch.searchsorted(total, at, right=True))
        return min(found, len(total) - 1)
