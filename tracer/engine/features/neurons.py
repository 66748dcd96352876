"""The neuron basis: a feature is one hidden unit of an MLP, before the down projection.

No dictionary and no reconstruction error: the features' writes sum to the MLP's output (minus its
bias). Activations are signed, and every neuron is active.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.features.basis import FeatureBasis, Readers, rows_of
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site
from tracer.errors import ModelUnavailable


class NeuronBasis(FeatureBasis):
    """Hidden units of gated or plain MLPs."""

    def __init__(self, model: Model) -> None:
        """Look whether the model has such units, and weights that can be read.

        Raises:
            ModelUnavailable: Its MLPs are mixtures of experts, or quantised, or unlike others.
        """
        if model.has("experts"):
            raise ModelUnavailable(
                f"{model.record.name}: its MLPs are mixtures of experts, and which of these a "
                "token goes through depends on the token, so there are no neurons that are the "
                "same everywhere. Use a dictionary as features."
            )
        model.require(("mlp_in", "mlp_up", "mlp_hidden", "mlp_out"), "features: neurons")
        model.W_out(0)
        self._model = model
        self.name = "neurons"
        self.is_sparse = False
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

    def readers(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
        activations: Float[Tensor, " n"],
    ) -> Readers:
        """The half rule: e = ½·(a/u)·w_u + ½·(a/g)·w_g, so that e·x = a = σ(g)·u exactly.

        A plain MLP reads once: e = (a/u)·w_in. A projection's bias times its slope is the constant
        beside e·x.
        """
        vectors = x.new_zeros(len(index), x.shape[1])
        constants = x.new_zeros(len(index))
        projections = self._projections(layer)
        here = x[pos]
        for W, bias in projections:
            rows = W[index].to(x.dtype)
            offset = 0.0 if bias is None else bias[index].to(x.dtype)
            reading = (rows * here).sum(1) + offset
            slope = _ratio(activations.to(x.dtype), reading) / len(projections)
            vectors += slope[:, None] * rows
            constants += slope * offset
        return Readers(vectors, constants)

    def pull_back(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        gradient: Float[Tensor, "pos row n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "pos row d_model"]:
        """See `FeatureBasis.pull_back`."""
        parts = self._model.mlp_parts(layer, x)
        projections = self._projections(layer)
        readings = [parts.up] if parts.gate is None else [parts.up, parts.gate]
        total = x.new_zeros(*gradient.shape[:2], x.shape[1])
        for (W, _), reading in zip(projections, readings, strict=True):
            slope = _ratio(parts.hidden, reading)[:, index] / len(projections)
            total += (gradient * slope[:, None]) @ _rows(W, index).to(x.dtype)
        return total

    def _projections(self, layer: int) -> list[tuple[Tensor, Tensor | None]]:
        """Weight and bias of what a neuron multiplies: the up projection, and the gate."""
        model = self._model
        up = (model.W_in(layer), model.b_in(layer))
        return [up, (model.W_gate(layer), model.b_gate(layer))] if model.is_gated else [up]


def _rows(W: Float[Tensor, "feature d_model"], index: Int[Tensor, " n"]) -> Tensor:
    """Rows of a weight, wherever `index` is; all of them without a copy."""
    return W if len(index) == len(W) else rows_of(W, index)


def _ratio(hidden: Float[Tensor, "*n"], factor: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Their quotient, and 0 where the factor is 0 (the hidden unit is 0 there too)."""
    return torch.where(factor == 0, 0.0, hidden / torch.where(factor == 0, 1.0, factor))
