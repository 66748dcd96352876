"""Attention patterns that rows set, and weights that are read of them.

A knockout takes keys from queries: their scores are −∞ before the softmax, so the other weights of
the query are divided by what is left of their sum (with `keep` they stay). That is done to the
pattern itself, where it is the same, whatever a model does to its scores before (soft caps,
windows) and also where the pattern is held. Rows keep [head, query, key] of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.engine.transfer import by_key_on_cpu, moved

LEAST_SINK = 1e-3
"""A query whose weights lack this much of 1 gives it to an attention sink (GPT-OSS), no key."""
Span = tuple[int, int]
"""Positions, end excluded."""


@dataclass(frozen=True)
class Knockout:
    """Queries of a head that take nothing from some keys."""

    layer: int
    head: int
    queries: Span
    keys: Span
    keep: bool = False

    def apply(self, pattern: Float[Tensor, "query key"], start: int) -> None:
        """Change one head's pattern in place; its queries begin at position `start`."""
        rows = pattern[self.queries[0] - start : self.queries[1] - start]
        sink = 1 - rows.sum(-1, keepdim=True)
        rows[:, slice(*self.keys)] = 0
        if not self.keep:
            left = rows.sum(-1, keepdim=True) + torch.where(sink > LEAST_SINK, sink, 0.0)
            rows /= left

    def cause(self) -> list[Any]:
        """What its effect depends on, for a key."""
        return [self.layer, self.head, self.queries, self.keys, self.keep]


@dataclass(frozen=True, eq=False)
class Replaced:
    """Queries of a head that look as another prompt's do."""

    layer: int
    head: int
    queries: Span
    weights: Float[Tensor, "query key"]

    def apply(self, pattern: Float[Tensor, "query key"], start: int) -> None:
        """Change one head's pattern in place; its queries begin at position `start`."""
        rows = pattern[self.queries[0] - start : self.queries[1] - start]
        rows.copy_(self.weights)

    def cause(self) -> list[Any]:
        """What its effect depends on, for a key."""
        weights = np.ascontiguousarray(self.weights.float().cpu().numpy())
        digest = hashlib.sha256(weights.tobytes()).hexdigest()
        return [self.layer, self.head, self.queries, digest]


PatternEdit = Knockout | Replaced


@dataclass(frozen=True)
class Look:
    """A weight that is read: the mean over queries of the sum over keys, the mean over heads."""

    heads: tuple[tuple[int, int], ...]
    """(layer, head)."""
    queries: Span
    keys: Span

    def of(self, pattern: Float[Tensor, "head query key"], layer: int, start: int) -> Tensor:
        """The share of it that is read in one layer; queries begin at position `start`."""
        queries = slice(self.queries[0] - start, self.queries[1] - start)
        rows = torch.stack([pattern[head, queries] for at, head in self.heads if at == layer])
        return rows[..., slice(*self.keys)].sum(-1).mean(-1).sum() / len(self.heads)


def pattern_hooks(
    edits: Sequence[Sequence[PatternEdit]],
    looks: Sequence[Sequence[Look]],
    read: list[list[Tensor]],
    start: int,
) -> list[tuple[Site, Hook]]:
    """Hooks that set patterns and then read them; `read` gets a value for each row's every look.

    Args:
        edits: By row.
        looks: By row.
        read: By row and look; what a layer gives is added.
        start: The position that the pass begins at, not after that of any edit or look.
    """
    sent: list[list[list[PatternEdit]]] = []

    def hook_at(layer: int) -> Hook:
        def hook(x: Tensor) -> Tensor | None:
            if not sent:
                sent.append(_sent(edits, x.device))
            mine = [[edit for edit in row if edit.layer == layer] for row in sent[0]]
            out = x
            if any(mine):
                out = x.float().clone()
                for row, some in enumerate(mine):
                    for edit in some:
                        edit.apply(out[row, edit.head], start)
            for row, some in enumerate(looks):
                pattern = out[row if out.shape[0] > 1 else 0].float()
                for number, look in enumerate(some):
                    if any(at == layer for at, _ in look.heads):
                        read[row][number] = read[row][number] + look.of(pattern, layer, start)
            return out.to(x.dtype) if any(mine) else None

        return hook

    layers = {edit.layer for row in edits for edit in row}
    layers |= {layer for row in looks for look in row for layer, _ in look.heads}
    return [(Site("pattern", layer), hook_at(layer)) for layer in sorted(layers)]


def _sent(edits: Sequence[Sequence[PatternEdit]], device: torch.device) -> list[list[PatternEdit]]:
    """The same with the weights of other prompts on a device, all moved at once."""
    every = [edit for row in edits for edit in row if isinstance(edit, Replaced)]
    weights = iter(moved([edit.weights for edit in every], device))
    return [
        [replace(e, weights=next(weights)) if isinstance(e, Replaced) else e for e in row]
        for row in edits
    ]


def patterns_of(model: Model, ids: Tensor) -> Mapping[int, Float[Tensor, "head query key"]]:
    """The unclamped patterns of a prompt, by layer, on the CPU."""
    found: dict[int, Tensor] = {}

    def keep(layer: int) -> Hook:
        return lambda x: found.__setitem__(layer, x[0].float())

    model.clean(
        ids[None], [(Site("pattern", layer), keep(layer)) for layer in range(model.n_layers)]
    )
    return by_key_on_cpu(found)
