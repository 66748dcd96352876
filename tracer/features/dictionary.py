"""A dictionary as data: for each layer an encoder, a decoder and an activation, and where they act.

The weights are views of memory-mapped files: nothing is read before it is used, and of a decoder
only the rows that are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tracer.errors import UsageError
from tracer.features.activations import Activation
from tracer.model.model import Model, SiteKind

Kind = Literal["transcoders", "cross-layer transcoders"]


@dataclass(frozen=True)
class LayerWeights:
    """One layer: act(W_enc x + b_enc) are the features; they write W_dec, with b_dec and skip."""

    W_enc: Float[Tensor, "feature d_model"]
    b_enc: Float[Tensor, " feature"]
    W_dec: Float[Tensor, "feature target d_model"]
    """`target` counts layers from the feature's own; a per-layer transcoder has one."""
    b_dec: Float[Tensor, " d_model"]
    activation: Activation
    W_skip: Float[Tensor, "d_model d_model"] | None = None
    """`x @ W_skip.T` is added to the layer's own output."""


@dataclass(frozen=True)
class Dictionary:
    """Features of every layer of a model."""

    name: str
    kind: Kind
    reads: SiteKind
    writes: SiteKind
    layers: tuple[LayerWeights, ...]
    files: tuple[Path, ...]
    """Everything it was read from."""

    @property
    def n_layers(self) -> int:
        """How many layers it has features for."""
        return len(self.layers)


def check_model(dictionary: Dictionary, model: Model) -> None:
    """Refuse a dictionary that was made for a model of another shape.

    Raises:
        UsageError: Number of layers or width differ.
        ModelUnavailable: The model has no such hook point.
    """
    record = model.record
    if dictionary.n_layers != record.n_layers:
        raise UsageError(
            f"{dictionary.name} has {dictionary.kind} for {dictionary.n_layers} layers, model "
            f"{record.name} has {record.n_layers}: it belongs to another model."
        )
    widths = {layer.W_enc.shape[1] for layer in dictionary.layers}
    if wrong := sorted(widths - {record.d_model}):
        raise UsageError(
            f"{dictionary.name} reads vectors of width {wrong[0]}, model {record.name} has "
            f"{record.d_model}: it belongs to another model."
        )
    model.require((dictionary.reads, dictionary.writes), f"features: {dictionary.name}")
