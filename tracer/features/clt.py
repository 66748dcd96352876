"""A cross-layer transcoder: a feature writes to its own and to every later layer's output."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.dictionary_basis import DictionaryBasis


@final
class CltBasis(DictionaryBasis):
    """One encoder per layer, one decoder per pair of a layer and a layer not before it."""

    def write_layers(self, layer: int) -> range:
        """Its own and all later ones."""
        return range(layer, self.n_layers)

    def W_dec(self, layer: int, index: Int[Tensor, " n"], to: int) -> Float[Tensor, "n d_model"]:
        """See `FeatureBasis.W_dec`; only the rows for layer `to` are read."""
        assert to in self.write_layers(layer)
        return self._decoder_rows(layer, index, to)

    def gradient(
        self,
        layer: int,
        at_outputs: Mapping[int, Float[Tensor, "*batch d_model"]],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "*batch n"]:
        """Summed over the layers it writes to; one that `at_outputs` leaves out counts as 0."""
        reached = [to for to in self.write_layers(layer) if to in at_outputs]
        assert reached, f"no gradient at any layer that layer {layer} writes to"
        # Added up one by one: a target's decoder rows are let go before the next one's are read.
        parts = (
            at_outputs[to] @ self._decoder_rows(layer, index, to).to(at_outputs[to].dtype).T
            for to in reached
        )
        return reduce(torch.add, parts)
