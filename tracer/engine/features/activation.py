"""Activation functions of dictionaries: a layer's pre-activations become its activations.

Called on whole rows `[*batch, feature]`, or, through `of(index)`, on single features. Only TopK
needs a whole row to tell whether one of its features is on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class ReLU:
    """On above 0."""

    def __call__(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The pre-activations, and 0 for those below 0."""
        return pre.relu()

    def of(self, index: Int[Tensor, " n"]) -> ReLU:
        """The same for every feature."""
        return self


@dataclass(frozen=True)
class JumpReLU:
    """On above the feature's own threshold, and then unchanged (a NaN stays one)."""

    threshold: Float[Tensor, " feature"]

    def __call__(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The pre-activations, and 0 for those not above their threshold."""
        return pre.masked_fill(pre <= self.threshold.to(pre.device), 0)

    def of(self, index: Int[Tensor, " n"]) -> JumpReLU:
        """The function with the thresholds of features `index`."""
        return JumpReLU(self.threshold[index.to(self.threshold.device)])


@dataclass(frozen=True)
class TopK:
    """On where among the k largest of its position; negative ones of these stay negative."""

    k: int

    def __call__(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The k largest of each row, and 0 for the rest."""
        largest = pre.topk(self.k, dim=-1)
        return torch.zeros_like(pre).scatter(-1, largest.indices, largest.values)

    def of(self, index: Int[Tensor, " n"]) -> None:
        """None: a feature's activation depends on all features of its row."""


ActivationFunction = ReLU | JumpReLU | TopK
