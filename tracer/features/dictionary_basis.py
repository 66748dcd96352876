"""What all bases with a dictionary share: encoding, reading, and where both happen.

Encoders stay loaded once they have been used, in the type they are stored in, on the model's
device; on the CPU that is the file's own pages. Every product is taken in the type of its input.
Decoders stay in their files: rows are read when they are asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from tracer.features.activations import Rows
from tracer.features.basis import FeatureBasis, Readers
from tracer.features.dictionary import Dictionary
from tracer.model.model import Site


class Encoder(NamedTuple):
    """A layer's encoder on the device where it is used."""

    W: Float[Tensor, "feature d_model"]
    b: Float[Tensor, " feature"]

    def pre(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch feature"]:
        """Pre-activations of all features."""
        return linear(x, self.W.to(x.dtype), self.b.to(x.dtype))

    def pre_at(
        self, x: Float[Tensor, "n d_model"], index: Int[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Pre-activation of one feature for each input."""
        # A matrix product accumulates in float32 where an elementwise sum would round each term.
        products = x[:, None] @ take(self.W, index).to(x.dtype)[:, :, None]
        return products[:, 0, 0] + take(self.b, index).to(x.dtype)


class DictionaryBasis(FeatureBasis):
    """Features with an encoder and a decoder of their own; what they write is left open."""

    def __init__(self, dictionary: Dictionary, device: torch.device) -> None:
        self.name = dictionary.name
        self.is_sparse = True
        self.n_layers = dictionary.n_layers
        self._dictionary = dictionary
        self._layers = dictionary.layers
        self._device = device
        self._encoders: dict[int, Encoder] = {}

    def n_features(self, layer: int) -> int:
        """See `FeatureBasis.n_features`."""
        return self._layers[layer].W_enc.shape[0]

    def read_site(self, layer: int) -> Site:
        """The same as the input site: encoding is linear up to the activation function."""
        return Site(self._dictionary.reads, layer)

    def input_site(self, layer: int) -> Site:
        """Where the dictionary was trained to read."""
        return Site(self._dictionary.reads, layer)

    def output_site(self, layer: int) -> Site:
        """Where the dictionary was trained to write."""
        return Site(self._dictionary.writes, layer)

    def encode(
        self, layer: int, x: Float[Tensor, "*batch d_read"]
    ) -> Float[Tensor, "*batch feature"]:
        """See `FeatureBasis.encode`."""
        return self._layers[layer].activation.all(self._encoder(layer).pre(x))

    def encode_at(
        self,
        layer: int,
        x: Float[Tensor, "row pos d_read"],
        row: Int[Tensor, " n"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """See `FeatureBasis.encode_at`."""
        encoder = self._encoder(layer)

        def rows() -> Rows:
            where, of = torch.unique(row * x.shape[1] + pos, return_inverse=True)
            return Rows(encoder.pre(x.flatten(0, 1)[where]), of)

        return self._layers[layer].activation.single(
            encoder.pre_at(x[row, pos], index), index, rows
        )

    def b_dec(self, layer: int) -> Float[Tensor, " d_model"]:
        """See `FeatureBasis.b_dec`."""
        return self._layers[layer].b_dec.to(self._device)

    def W_skip(self, layer: int) -> Float[Tensor, "d_model d_model"] | None:
        """See `FeatureBasis.W_skip`."""
        W_skip = self._layers[layer].W_skip
        return None if W_skip is None else W_skip.to(self._device)

    def readers(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
        activations: Float[Tensor, " n"],
    ) -> Readers:
        """Rows of the encoder and its biases, the same at every position."""
        encoder = self._encoder(layer)
        return Readers(take(encoder.W, index).to(x.dtype), take(encoder.b, index).to(x.dtype))

    def pull_back(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        gradient: Float[Tensor, "pos row n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "pos row d_model"]:
        """See `FeatureBasis.pull_back`."""
        return gradient @ take(self._encoder(layer).W, index).to(gradient.dtype)

    def _decoder_rows(
        self, layer: int, index: Int[Tensor, " n"], to: int
    ) -> Float[Tensor, "n d_model"]:
        return take(self._layers[layer].W_dec[:, to - layer], index).to(self._device)

    def _encoder(self, layer: int) -> Encoder:
        if layer not in self._encoders:
            weights = self._layers[layer]
            self._encoders[layer] = Encoder(
                weights.W_enc.to(self._device), weights.b_enc.to(self._device)
            )
        return self._encoders[layer]


def take(weights: Float[Tensor, "feature ..."], index: Int[Tensor, " n"]) -> Tensor:
    """Rows of `weights`, on their device, wherever `index` is."""
    return weights[index.to(weights.device)]
