"""A dictionary as data: for each layer an encoder, a decoder and an activation, and where they act.

The weights are views of memory-mapped files: nothing is read before it is used, and of a decoder
only the rows that are asked for.

What all bases with a dictionary share: encoding, reading, and where both happen.

Encoders stay loaded once they have been used, in the type they are stored in, on the model's
device; on the CPU that is the file's own pages. Every product is taken in the type of its input.
Decoders stay in their files: rows are read when they are asked for.

Per-layer transcoders: each layer's features write to that layer's output only.

A cross-layer transcoder: a feature writes to its own and to every later layer's output.

What tells two dictionaries apart without reading tens of gigabytes: headers, sizes, samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Literal, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from tracer.engine.features.basis import (
    ActivationFunction,
    FeatureBasis,
    PreActivationRows,
    Readers,
)
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.errors import UsageError

Kind = Literal["transcoders", "cross-layer transcoders"]


@dataclass(frozen=True)
class LayerWeights:
    """One layer: act(W_enc x + b_enc) are the features; they write W_dec, with b_dec and skip."""

    W_enc: Float[Tensor, "feature d_model"]
    b_enc: Float[Tensor, " feature"]
    W_dec: Float[Tensor, "feature target d_model"]
    """`target` counts layers from the feature's own; a per-layer transcoder has one."""
    b_dec: Float[Tensor, " d_model"]
    activation: ActivationFunction
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

        def rows() -> PreActivationRows:
            where, of = torch.unique(row * x.shape[1] + pos, return_inverse=True)
            return PreActivationRows(encoder.pre(x.flatten(0, 1)[where]), of)

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


_SAMPLES = 32
_SAMPLE = 4096
_WHOLE = 1 << 20
"""Files up to this size are read whole."""


def fingerprint(files: Sequence[Path]) -> str:
    """SHA-256 over each file's name, size, first MiB and 32 samples of 4 KiB spread over it.

    The first MiB holds the header (names, types and shapes of the tensors). Other training gives
    other samples; a few bytes changed on purpose may go unseen.
    """
    total = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        total.update(f"{path.name}\0{size}\n".encode())
        with path.open("rb") as file:
            total.update(file.read(_WHOLE))
            for sample in range(_SAMPLES if size > _WHOLE else 0):
                file.seek((size - _SAMPLE) * sample // (_SAMPLES - 1))
                total.update(file.read(_SAMPLE))
    return total.hexdigest()
