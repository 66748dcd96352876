"""The features of a circuit's scope, ordered by how much keeping each is expected to bring back.

The score of a feature at a token position is the mean over discovery prompts of

    (activation − reference mean) · d metric / d activation,

attribution patching toward the clean run (node level, signed; Nanda 2023). Held-out prompts have no
part in it. The circuit of share k holds the first k of the items, as in MIB (Mueller et al. 2025).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.ablation import Reference
from tracer.hypothesis.studies.circuit import SHARES


@dataclass(frozen=True)
class Ranking:
    """Items of a scope, best first."""

    places: Int[Tensor, "item 3"]
    """Layer, position and index."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items the circuit of each share of `SHARES` has."""
        return tuple(max(1, round(share * len(self.places))) for share in SHARES)

    def first(self, n: int, base: Reference) -> dict[int, Int[Tensor, "_ 2"]]:
        """The n best, where a prompt's base reaches, by layer."""
        best = self.places[:n]
        best = best[(best[:, 1] >= base.start) & (best[:, 1] < base.stop)]
        return {
            layer: best[best[:, 0] == layer, 1:]
            for layer in base.outputs
            if bool((best[:, 0] == layer).any())
        }


class RankingScores:
    """Adds up over prompts what each feature would bring back."""

    def __init__(self, reference: Reference) -> None:
        """Nothing yet, of the features of a reference."""
        self._start = reference.start
        self._sums = {n: torch.zeros_like(mean) for n, mean in reference.features.items()}
        self._changed = {
            n: torch.zeros_like(mean, dtype=torch.bool) for n, mean in reference.features.items()
        }

    def add(
        self,
        start: int,
        changes: dict[int, Float[Tensor, "pos feature"]],
        gradients: Sequence[Float[Tensor, "pos _"]],
        candidates: Sequence[Int[Tensor, " _"]],
    ) -> None:
        """One prompt, from position `start` on."""
        for layer, change in changes.items():
            rows = slice(start - self._start, start - self._start + len(change))
            index = candidates[layer]
            found = change[:, index] * gradients[layer].to(change)
            self._sums[layer][rows, index] += found
            self._changed[layer][rows] |= change != 0

    def ranking(self) -> Ranking:
        """Every feature that differed from its mean somewhere; ties by layer and position."""
        places, values = list[Tensor](), list[Tensor]()
        for layer, changed in self._changed.items():
            found = changed.nonzero()
            values.append(self._sums[layer][found[:, 0], found[:, 1]])
            layers = torch.full_like(found[:, :1], layer)
            places.append(torch.cat([layers, found[:, :1] + self._start, found[:, 1:]], dim=1))
        order = torch.sort(torch.cat(values), descending=True, stable=True).indices
        return Ranking(torch.cat(places)[order])
