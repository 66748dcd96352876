"""Per-layer transcoders: each layer's features write to that layer's output only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.dictionary_basis import DictionaryBasis


@final
class TranscoderBasis(DictionaryBasis):
    """One transcoder per layer, with or without a linear skip path."""

    def write_layers(self, layer: int) -> range:
        """Its own."""
        return range(layer, layer + 1)

    def W_dec(self, layer: int, index: Int[Tensor, " n"], to: int) -> Float[Tensor, "n d_model"]:
        """See `FeatureBasis.W_dec`."""
        assert to == layer
        return self._decoder_rows(layer, index, to)

    def gradient(
        self,
        layer: int,
        at_outputs: Mapping[int, Float[Tensor, "*batch d_model"]],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "*batch n"]:
        """See `FeatureBasis.gradient`."""
        there = at_outputs[layer]
        return there @ self._decoder_rows(layer, index, layer).to(there.dtype).T
