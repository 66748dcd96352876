"""The neuron basis: a feature is one hidden unit of an MLP, before the down projection.

No dictionary and no reconstruction error: the features' writes sum to the MLP's output (less its
bias). Activations are signed, and every neuron is active.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.basis import FeatureBasis, Write
from tracer.model.model import Model, Site


class NeuronBasis(FeatureBasis):
    """Hidden units of gated or plain MLPs."""

    def __init__(self, model: Model) -> None:
        model.require(("mlp_hidden", "mlp_out"), "features: neurons")
        self._model = model
        self.name = "neurons"
        self.n_layers = model.n_layers

    def n_features(self, layer: int) -> int:
        """See `FeatureBasis.n_features`."""
        return int(self._model.W_out(layer).shape[0])

    def read_site(self, layer: int) -> Site:
        """See `FeatureBasis.read_site`."""
        return Site("mlp_hidden", layer)

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

    def writes(self, layer: int, index: Int[Tensor, " n"]) -> Sequence[Write]:
        """One write, to the layer's own MLP output, before any post-norm."""
        return (Write(Site("mlp_out", layer), self._model.W_out(layer)[index]),)

    def write_sites(self, layer: int) -> Sequence[Site]:
        """See `FeatureBasis.write_sites`."""
        return (Site("mlp_out", layer),)

    def gradient(
        self, layer: int, at_writes: Mapping[Site, Float[Tensor, "*batch d_model"]]
    ) -> Float[Tensor, "*batch feature"]:
        """See `FeatureBasis.gradient`."""
        return at_writes[Site("mlp_out", layer)] @ self._model.W_out(layer).T

    def read_vectors(
        self, layer: int, x: Float[Tensor, " d_model"], index: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d_model"]:
        """The half rule: e = ½·σ(g)·w_u + ½·u·(σ(g)/g)·w_g, so that e·x = σ(g)·u exactly.

        A plain MLP reads once: e = (σ(g)/g)·w_in, so that e·x = σ(g). Projections with a bias have
        it as a constant term beside e·x.
        """
        parts = self._model.mlp_parts(layer, x)
        hidden = parts.hidden[index]
        W_in = self._model.W_in(layer)[index]
        if parts.gate is None:
            return _ratio(hidden, parts.up[index])[:, None] * W_in
        W_gate = self._model.W_gate(layer)[index]
        through_up = _ratio(hidden, parts.up[index])[:, None] * W_in
        through_gate = _ratio(hidden, parts.gate[index])[:, None] * W_gate
        return (through_up + through_gate) / 2


def _ratio(hidden: Float[Tensor, " n"], factor: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Their quotient, and 0 where the factor is 0 (the hidden unit is 0 there too)."""
    return torch.where(factor == 0, 0.0, hidden / torch.where(factor == 0, 1.0, factor))
