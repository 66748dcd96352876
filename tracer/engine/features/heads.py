"""Heads of attention beside the features of a basis, so that clamps set both alike.

A head's activation at a position is z = Σ_k A(q, k) W_V x(k), what TransformerLens calls `hook_z`;
times W_O it is what the head adds to attention's output, before any post-norm. Its coordinates are
scalars that are read at `z` and written, times a row of W_O, at `attn_out`. `places` numbers them.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.features.basis import FeatureBasis, Readers
from tracer.engine.features.places import HEADS, layer_of
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site


class WithHeads(FeatureBasis):
    """A basis with the heads of every layer beside it.

    `n_layers`, and so every walk over the layers of the basis, counts the features alone: the
    attribution graph has no heads.
    """

    def __init__(self, features: FeatureBasis, model: Model) -> None:
        """Read the output projections.

        Raises:
            ModelUnavailable: The model's attention has no `z`, or no weights by head.
        """
        model.require(("z", "attn_out"), "heads")
        self._features = features
        self.name, self.n_layers = features.name, features.n_layers
        self.is_sparse, self.opening = features.is_sparse, features.opening
        weights = {HEADS + layer: model.W_O(layer) for layer in range(model.n_layers)}
        self._W_O: Mapping[int, Tensor] = {n: W.flatten(0, 1) for n, W in weights.items()}
        self.d_heads = {n: int(W.shape[1]) for n, W in weights.items()}

    def n_heads(self, layer: int) -> int:
        """How many heads the model's layer has."""
        return self.n_features(HEADS + layer) // self.d_heads[HEADS + layer]

    def n_features(self, layer: int) -> int:
        """See `FeatureBasis.n_features`; of heads, their coordinates."""
        return len(self._W_O[layer]) if layer in self._W_O else self._features.n_features(layer)

    def read_site(self, layer: int) -> Site:
        """The heads' activations, or where the features are encoded."""
        is_head = layer in self._W_O
        return Site("z", layer_of(layer)) if is_head else self._features.read_site(layer)

    def input_site(self, layer: int) -> Site:
        """Of the features: a head reads other positions, through its pattern."""
        return self._features.input_site(layer)

    def output_site(self, layer: int) -> Site:
        """Attention's output before any post-norm, or where the features write."""
        is_head = layer in self._W_O
        return Site("attn_out", layer_of(layer)) if is_head else self._features.output_site(layer)

    def write_layers(self, layer: int) -> range:
        """A head's own."""
        is_head = layer in self._W_O
        return range(layer, layer + 1) if is_head else self._features.write_layers(layer)

    def encode(self, layer: int, x: Float[Tensor, "*read"]) -> Float[Tensor, "*batch feature"]:
        """Of heads, their activations one after the other: [*batch, head, d_head] comes in."""
        return x.flatten(-2) if layer in self._W_O else self._features.encode(layer, x)

    def encode_at(
        self,
        layer: int,
        x: Float[Tensor, "row pos *d_read"],
        row: Int[Tensor, " n"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """See `FeatureBasis.encode_at`."""
        if layer in self._W_O:
            return x.flatten(2)[row, pos, index]
        return self._features.encode_at(layer, x, row, pos, index)

    def W_dec(self, layer: int, index: Int[Tensor, " n"], to: int) -> Float[Tensor, "n d_model"]:
        """Rows of W_O, or of the features' decoder."""
        if layer in self._W_O:
            return self._W_O[layer][index]
        return self._features.W_dec(layer, index, to)

    def b_dec(self, layer: int) -> Float[Tensor, " d_model"] | None:
        """Of the features."""
        return self._features.b_dec(layer)

    def W_skip(self, layer: int) -> Float[Tensor, "d_model d_model"] | None:
        """Of the features."""
        return self._features.W_skip(layer)

    def readers(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
        activations: Float[Tensor, " n"],
    ) -> Readers:
        """Of the features."""
        return self._features.readers(layer, x, pos, index, activations)

    def pull_back(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        gradient: Float[Tensor, "pos row n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "pos row d_model"]:
        """Of the features."""
        return self._features.pull_back(layer, x, gradient, index)


def beside_heads(features: FeatureBasis, model: Model, *, wanted: bool) -> FeatureBasis:
    """The basis, with heads where they are wanted and not there yet.

    Raises:
        ModelUnavailable: See `WithHeads`.
    """
    return WithHeads(features, model) if wanted and not features.d_heads else features
