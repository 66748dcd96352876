"""What turns a feature's pre-activation into its activation.

Each of the three knows how to do it for whole rows of features, and for single features. Only TopK
needs the rest of a row to tell whether a single feature is on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Rows(NamedTuple):
    """Whole rows of pre-activations, and which of them each single feature stands in."""

    pre: Float[Tensor, "row feature"]
    of: Int[Tensor, " n"]


@runtime_checkable
class Activation(Protocol):
    """A dictionary layer's activation function."""

    def all(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Activations of every feature of the layer."""
        ...

    def single(
        self, pre: Float[Tensor, " n"], index: Int[Tensor, " n"], rows: Callable[[], Rows]
    ) -> Float[Tensor, " n"]:
        """Activations of features `index`; `rows` is called where they depend on the others."""
        ...


@dataclass(frozen=True)
class ReLU:
    """On above 0."""

    def all(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """See `Activation.all`."""
        return pre.relu()

    def single(
        self, pre: Float[Tensor, " n"], index: Int[Tensor, " n"], rows: Callable[[], Rows]
    ) -> Float[Tensor, " n"]:
        """See `Activation.single`."""
        return pre.relu()


@dataclass(frozen=True)
class JumpReLU:
    """On above the feature's own threshold, and then unchanged (a NaN stays one)."""

    threshold: Float[Tensor, " feature"]

    def all(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """See `Activation.all`."""
        return pre.masked_fill(pre <= self.threshold.to(pre.device), 0)

    def single(
        self, pre: Float[Tensor, " n"], index: Int[Tensor, " n"], rows: Callable[[], Rows]
    ) -> Float[Tensor, " n"]:
        """See `Activation.single`."""
        threshold = self.threshold[index.to(self.threshold.device)]
        return pre.masked_fill(pre <= threshold.to(pre.device), 0)


@dataclass(frozen=True)
class TopK:
    """On where among the k largest of its position; negative ones of these stay negative."""

    k: int

    def all(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """See `Activation.all`."""
        largest = pre.topk(self.k, dim=-1)
        return torch.zeros_like(pre).scatter(-1, largest.indices, largest.values)

    def single(
        self, pre: Float[Tensor, " n"], index: Int[Tensor, " n"], rows: Callable[[], Rows]
    ) -> Float[Tensor, " n"]:
        """See `Activation.single`."""
        whole = rows()
        return self.all(whole.pre)[whole.of, index]
