"""A norm of the local replacement model: its scale is held, so it is affine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.model.blocks import Norm


@dataclass(frozen=True)
class FrozenNorm:
    """A norm whose scale is held: y = w · (x − mean if it centres) / scale + b."""

    norm: Norm | None
    """None for the identity."""
    scale: Float[Tensor, "pos 1"]

    def __call__(self, x: Float[Tensor, "pos d_model"]) -> Float[Tensor, "pos d_model"]:
        """The whole affine map, at every position."""
        return self.linear(x, slice(None)) + self.bias

    def linear(
        self, x: Float[Tensor, "*batch n d_model"], pos: slice | Tensor
    ) -> Float[Tensor, "*batch n d_model"]:
        """The linear part (JVP), for vectors at the given positions."""
        if self.norm is None:
            return x
        return self.norm.linear(x) / self.scale[pos]

    def back(
        self, gradient: Float[Tensor, "*batch d_model"], scale: Float[Tensor, "*#batch 1"]
    ) -> Float[Tensor, "*batch d_model"]:
        """The transpose of the linear part (VJP), for gradients at positions of these scales."""
        if self.norm is None:
            return gradient
        return self.norm.back(gradient) / scale

    @property
    def bias(self) -> Tensor:
        """What it adds whatever it is given; one number 0 for the identity."""
        if self.norm is None:
            return torch.zeros(1, dtype=self.scale.dtype, device=self.scale.device)
        return self.norm.b.to(self.scale.dtype)
