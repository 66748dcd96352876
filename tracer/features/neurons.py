"""The neuron basis: a feature is one hidden unit of an MLP, before the down projection.

No dictionary and no reconstruction error: the features' writes sum to the MLP's output (less its
bias). Activations are signed, and every neuron is active.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.basis import FeatureBasis, Readers
from tracer.model.model import Model, Site


class NeuronBasis(FeatureBasis):
    """Hidden units of gated or plain MLPs."""

    def __init__(self, model: Model) -> None:
        model.require(("mlp_in", "mlp_up", "mlp_hidden", "mlp_out"), "features: neurons")
        self._model = model
        self.name = "neurons"
        self.n_layers = model.n_layers

    def n_features(self, layer: int) -> int:
        """See `FeatureBasis.n_features`."""
        return int(self._model.W_out(layer).shape[0])

    def read_site(self, layer: int) -> Site:
        """The hidden unit itself."""
        return Site("mlp_hidden", layer)

    def input_site(self, layer: int) -> Site:
        """The MLP's input, after its norm."""
        return Site("mlp_in", layer)

    def output_site(self, layer: int) -> Site:
        """The MLP's output, before any post-norm."""
        return Site("mlp_out", layer)

    def write_layers(self, layer: int) -> range:
        """Its own."""
        return range(layer, layer + 1)

    def encode(
        self, layer: int, x: Float[Tensor, "*batch d_read"]
    ) -> Float[Tensor, "*batch feature"]:
        """The hidden units are the features."""
        return x

    def encode_at(
        self,
        layer: int,
        x: Float[Tensor, "row pos d_read"],
        row: Int[Tensor, " n"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """See `FeatureBasis.encode_at`."""
        return x[row, pos, index]

    def W_dec(self, layer: int, index: Int[Tensor, " n"], to: int) -> Float[Tensor, "n d_model"]:
        """Rows of the down projection."""
        assert to == layer
        return _rows(self._model.W_out(layer), index)

    def b_dec(self, layer: int) -> Float[Tensor, " d_model"] | None:
        """The down projection's bias."""
        return self._model.b_out(layer)

    def W_skip(self, layer: int) -> None:
        """Neurons explain the whole output."""

    def gradient(
        self,
        layer: int,
        at_outputs: Mapping[int, Float[Tensor, "*batch d_model"]],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "*batch n"]:
        """See `FeatureBasis.gradient`."""
        there = at_outputs[layer]
        return there @ self.W_dec(layer, index, layer).to(there.dtype).T

    def readers(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
    ) -> Readers:
        """The half rule: e = ½·σ(g)·w_u + ½·u·(σ(g)/g)·w_g, so that e·x = σ(g)·u exactly.

        A plain MLP reads once: e = (σ(g)/g)·w_in, so that e·x = σ(g). A projection's bias times
        its slope is the constant beside e·x.
        """
        vectors = torch.zeros(len(index), x.shape[1], dtype=x.dtype, device=x.device)
        constants = torch.zeros(len(index), dtype=x.dtype, device=x.device)
        for slope, W, bias in self._readings(layer, x):
            mine = slope[pos, index]
            vectors += mine[:, None] * W[index].to(x.dtype)
            if bias is not None:
                constants += mine * bias[index].to(x.dtype)
        return Readers(vectors, constants)

    def pull_back(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        gradient: Float[Tensor, "pos row n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "pos row d_model"]:
        """See `FeatureBasis.pull_back`."""
        total = torch.zeros(*gradient.shape[:2], x.shape[1], dtype=x.dtype, device=x.device)
        for slope, W, _ in self._readings(layer, x):
            total += (gradient * slope[:, index][:, None]) @ _rows(W, index).to(x.dtype)
        return total

    def _readings(
        self, layer: int, x: Float[Tensor, "pos d_model"]
    ) -> list[tuple[Float[Tensor, "pos feature"], Tensor, Tensor | None]]:
        """The projections a neuron is linear in: its share of slope at `x`, weight and bias."""
        model = self._model
        parts = model.mlp_parts(layer, x)
        up = (_ratio(parts.hidden, parts.up), model.W_in(layer), model.b_in(layer))
        if parts.gate is None:
            return [up]
        gate = (_ratio(parts.hidden, parts.gate), model.W_gate(layer), model.b_gate(layer))
        return [(slope / 2, W, bias) for slope, W, bias in (up, gate)]


def _rows(W: Float[Tensor, "feature d_model"], index: Int[Tensor, " n"]) -> Tensor:
    """Rows of a weight; all of them without a copy."""
    return W if len(index) == len(W) else W[index]


def _ratio(hidden: Float[Tensor, "*n"], factor: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Their quotient, and 0 where the factor is 0 (the hidden unit is 0 there too)."""
    return torch.where(factor == 0, 0.0, hidden / torch.where(factor == 0, 1.0, factor))
