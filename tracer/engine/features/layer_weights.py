"""A dictionary's layer as its files have it, and its encoder, or rows of it, as it is used.

Weights may be stored as whole numbers with a factor for each row. What a row is, is then the
product of both, which is made of the rows in use alone, in the type of the activations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor
from torch.nn.functional import linear

from tracer.engine.features.basis import ActivationFunction, rows_of

AT_ONCE = 1 << 14
"""Features whose weights are copied into another type at once."""


class Scales(NamedTuple):
    """Factors of the rows of what is stored; None for 1."""

    W_enc: Float[Tensor, " feature"] | None = None
    W_dec: Float[Tensor, "feature target"] | None = None
    W_skip: Float[Tensor, "_ _"] | None = None
    """Of rows `[d_out, 1]` or, where the file has the transpose, of columns `[1, d_in]`."""


@dataclass(frozen=True)
class LayerWeights:
    """One layer: a = act(W_enc (x - centre) + b_enc), out: a W_dec + b_dec (+ W_skip x).

    Encoder and decoder are stored by features, as circuit-tracer has them: `W_enc` is the transpose
    of SAELens's `W_enc` `[d_in, d_sae]`; `W_dec` is its `W_dec` `[d_sae, d_out]` for each target.
    What is stored may be floating-point or int8; see `scales`.
    """

    W_enc: Real[Tensor, "feature d_model"]
    b_enc: Float[Tensor, " feature"]
    W_dec: Real[Tensor, "feature target d_model"]
    """`target` counts layers from the feature's own; a per-layer transcoder has one."""
    b_dec: Float[Tensor, " d_model"]
    activation: ActivationFunction
    W_skip: Real[Tensor, "d_model d_model"] | None = None
    """`[d_out, d_in]`: `x @ W_skip.T` is added to the layer's own output."""
    centre: Float[Tensor, " d_model"] | None = None
    """Subtracted from the input of the encoder, not from that of the skip; None for 0."""
    gated_by_norm: bool = False
    """Whether `act` decides on h ‖W_dec‖ in place of h: a = act(h ‖W_dec‖) / ‖W_dec‖."""
    scales: Scales = Scales()

    def decoder(self, index: Int[Tensor, " n"], target: int) -> Float[Tensor, "n d_model"]:
        """Rows of the decoder, copied."""
        rows, scale = rows_of(self.W_dec[:, target], index), self.scales.W_dec
        if scale is None:
            return rows
        return rows.to(scale.dtype) * scale[index.to(scale.device), target][:, None]

    def skip(self) -> Float[Tensor, "d_model d_model"] | None:
        """The skip matrix, `[d_out, d_in]`."""
        scale = self.scales.W_skip
        if self.W_skip is None or scale is None:
            return self.W_skip
        return self.W_skip.to(scale.dtype) * scale


class Encoder(NamedTuple):
    """A layer's encoder, or rows of it, on the device where it is used."""

    W: Real[Tensor, "feature d_model"]
    b: Float[Tensor, " feature"]
    activation: ActivationFunction
    scale: Float[Tensor, " feature"] | None
    """Factors of the rows of `W`."""
    norms: Float[Tensor, " feature"] | None
    """‖W_dec‖ of each feature, where the activation function decides by them."""

    def pre(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch feature"]:
        """Pre-activations of all features; in another type some of them at a time."""
        if self.W.dtype == x.dtype and self.scale is None:
            return linear(x, self.W, self.b.to(x.dtype))
        slices = [slice(n, n + AT_ONCE) for n in range(0, len(self.W), AT_ONCE)]
        some = (self._with(lambda stored, part=part: stored[part]) for part in slices)
        return torch.cat([linear(x, each.rows(x.dtype), each.b.to(x.dtype)) for each in some], -1)

    def pre_each(self, x: Float[Tensor, "feature d_model"]) -> Float[Tensor, " feature"]:
        """Pre-activation of each feature for an input of its own."""
        # A matrix product accumulates in float32 where an elementwise sum would round each term.
        products = x[:, None] @ self.rows(x.dtype)[:, :, None]
        return products[:, 0, 0] + self.b.to(x.dtype)

    def rows(self, dtype: torch.dtype) -> Float[Tensor, "feature d_model"]:
        """What each feature reads."""
        W = self.W.to(dtype)
        return W if self.scale is None else W * self.scale.to(dtype)[:, None]

    def act(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Activations of pre-activations."""
        if self.norms is None:
            return self.activation(pre)
        norms = self.norms.to(pre.dtype)
        return self.activation(pre * norms) / norms

    def at(self, index: Int[Tensor, " n"]) -> Encoder:
        """Some features; the activation function is the layer's where it needs whole rows."""
        index = index.to(self.W.device)
        some = self._with(lambda stored: rows_of(stored, index))
        return some._replace(activation=self.activation.of(index) or self.activation)

    def to(self, device: torch.device) -> Encoder:
        """The same on a device."""
        return self._with(lambda x: x.to(device))._replace(activation=self.activation.to(device))

    def _with(self, change: Callable[[Tensor], Tensor]) -> Encoder:
        scale, norms = (None if x is None else change(x) for x in (self.scale, self.norms))
        return Encoder(change(self.W), change(self.b), self.activation, scale, norms)


def read_encoder(weights: LayerWeights, index: Int[Tensor, " n"] | None) -> Encoder:
    """A layer's encoder, or some features of it, where it is stored.

    The centre is taken into the bias: W_enc (x - c) + b = W_enc x + (b - W_enc c).
    """
    encoder = Encoder(weights.W_enc, weights.b_enc, weights.activation, weights.scales.W_enc, None)
    encoder = encoder if index is None else encoder.at(index)
    if weights.centre is not None:
        encoder = encoder._replace(b=_centred(encoder, weights.centre))
    if weights.gated_by_norm:
        features = torch.arange(len(weights.b_enc)) if index is None else index
        encoder = encoder._replace(norms=_decoder_norms(weights, features))
    return encoder


def _centred(encoder: Encoder, centre: Float[Tensor, " d_model"]) -> Float[Tensor, " feature"]:
    dtype = torch.promote_types(centre.dtype, torch.float32)
    moved = encoder.pre(centre.to(dtype)) - encoder.b.to(dtype)
    return encoder.b.to(dtype) - moved


def _decoder_norms(weights: LayerWeights, index: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """‖W_dec‖ over all targets; above 0, so that it can be divided by."""

    def squares(some: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        targets = range(weights.W_dec.shape[1])
        found = [weights.decoder(some, to).float().square().sum(-1) for to in targets]
        return torch.stack(found).sum(0)

    norms = torch.cat([squares(some) for some in index.split(AT_ONCE)]).sqrt()
    return norms.clamp_min(torch.finfo(norms.dtype).tiny)
