"""The features that are active on a prompt, kept sparse: few of a wide dictionary are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Active:
    """A layer's active features, by position, then index."""

    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    values: Float[Tensor, " n"]

    def at(self, pos: Int[Tensor, " m"], index: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Activations at places; 0 where the feature is not active."""
        if not len(self.values):
            return self.values.new_zeros(len(pos))
        width = int(max(self.index.max(), index.max() if len(index) else 0)) + 1
        keys = self.pos.long() * width + self.index
        wanted = pos.long() * width + index
        place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return torch.where(keys[place] == wanted, self.values[place], 0.0)

    def block(self, start: int, stop: int, index: Int[Tensor, " k"]) -> Block:
        """Activations of some features at positions from `start` to before `stop`."""
        first, last = torch.searchsorted(
            self.pos, torch.tensor([start, stop]).to(self.pos)
        ).tolist()
        row = self.pos[first:last].long() - start
        column = torch.searchsorted(index, self.index[first:last].long())
        dense = self.values.new_zeros(stop - start, len(index))
        dense[row, column] = self.values[first:last]
        return Block(slice(first, last), row, column, dense)


@dataclass(frozen=True)
class Block:
    """A stretch of positions, dense."""

    entries: slice
    """Which of the layer's active features stand in it."""
    row: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    """Where each of them stands in `activations`."""
    activations: Float[Tensor, "pos k"]


def active(activations: Float[Tensor, "pos feature"], first: int) -> Active:
    """What is not zero from position `first` on."""
    places = (activations[first:] != 0).nonzero()
    pos, index = places[:, 0] + first, places[:, 1]
    return Active(pos.int(), index.int(), activations[pos, index])
