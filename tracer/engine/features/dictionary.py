"""Dictionaries: encoder, decoder and activation of each layer, and the basis they make.

A per-layer transcoder's features write to their own layer's output, a cross-layer transcoder's to
that of their own and of every later layer.

The weights are views of memory-mapped files. On the CPU they are used where they are: pages of the
file, which the system takes back where it needs them. On a GPU an encoder, a bias and a skip matrix
are brought when they are first used, in the type they are stored in, and stay there; encoders only
while half of the memory that was free holds them. Of decoders, and of encoders without such room,
only the rows asked for are read, each time. Every product is taken in the type of its input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.features.basis import FeatureBasis, Readers, TopK
from tracer.engine.features.layer_weights import Encoder, LayerWeights, read_encoder
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.errors import UsageError

Kind = Literal["transcoders", "cross-layer transcoders"]
T = TypeVar("T", bound="Tensor | None")


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


@final
class DictionaryBasis(FeatureBasis):
    """Features with an encoder and a decoder of their own."""

    def __init__(
        self, dictionary: Dictionary, device: torch.device, opening: tuple[int, ...] = ()
    ) -> None:
        self.name, self.opening = dictionary.name, opening
        self.is_sparse = True
        self.n_layers = dictionary.n_layers
        self._dictionary = dictionary
        self._layers = dictionary.layers
        self._device = device
        self._encoders: dict[int, Encoder] = {}
        self._room = _room_for_encoders(device)
        self._beside: dict[tuple[str, int], Tensor | None] = {}
        """Biases and skip matrices that have been used, on the device."""

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
        encoder = self._encoder(layer)
        return encoder.act(encoder.pre(x))

    def encode_at(
        self,
        layer: int,
        x: Float[Tensor, "row pos d_read"],
        row: Int[Tensor, " n"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """See `FeatureBasis.encode_at`."""
        if not isinstance(self._layers[layer].activation, TopK):
            rows = self._rows_of_encoder(layer, index)
            return rows.act(rows.pre_each(x[row, pos]))
        places, inverse = torch.unique(row * x.shape[1] + pos, return_inverse=True)
        return self.encode(layer, x.flatten(0, 1)[places])[inverse, index]

    def write_layers(self, layer: int) -> range:
        """Its own and, of a cross-layer transcoder, all later ones."""
        return range(layer, layer + self._layers[layer].W_dec.shape[1])

    def W_dec(self, layer: int, index: Int[Tensor, " n"], to: int) -> Float[Tensor, "n d_model"]:
        """See `FeatureBasis.W_dec`; only the rows for layer `to` are read."""
        assert to in self.write_layers(layer)
        return self._layers[layer].decoder(index, to - layer).to(self._device)

    def b_dec(self, layer: int) -> Float[Tensor, " d_model"]:
        """See `FeatureBasis.b_dec`."""
        return self._there("b_dec", layer, lambda: self._layers[layer].b_dec)

    def W_skip(self, layer: int) -> Float[Tensor, "d_model d_model"] | None:
        """See `FeatureBasis.W_skip`."""
        return self._there("W_skip", layer, self._layers[layer].skip)

    def _there(self, name: str, layer: int, read: Callable[[], T]) -> T:
        if (name, layer) not in self._beside:
            weight = read()
            self._beside[name, layer] = None if weight is None else weight.to(self._device)
        return cast(T, self._beside[name, layer])

    def readers(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
        activations: Float[Tensor, " n"],
    ) -> Readers:
        """Rows of the encoder and its biases, the same at every position."""
        rows = self._rows_of_encoder(layer, index)
        return Readers(rows.rows(x.dtype), rows.b.to(x.dtype))

    def pull_back(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        gradient: Float[Tensor, "pos row n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "pos row d_model"]:
        """See `FeatureBasis.pull_back`."""
        return gradient @ self._rows_of_encoder(layer, index).rows(gradient.dtype)

    def _encoder(self, layer: int) -> Encoder:
        """The whole of a layer, kept where there is room for it."""
        if (kept := self._encoders.get(layer)) is not None:
            return kept
        encoder = read_encoder(self._layers[layer], None).to(self._device)
        if self._has_room(layer):
            self._room -= encoder.W.nbytes
            self._encoders[layer] = encoder
        return encoder

    def _has_room(self, layer: int) -> bool:
        return layer in self._encoders or self._layers[layer].W_enc.nbytes <= self._room

    def _rows_of_encoder(self, layer: int, index: Int[Tensor, " n"]) -> Encoder:
        """Some features of a layer: from its encoder if that can be kept, else from the file."""
        if self._has_room(layer):
            return self._encoder(layer).at(index)
        return read_encoder(self._layers[layer], index).to(self._device)


def _room_for_encoders(device: torch.device) -> float:
    """Bytes of a device that encoders may take; on the CPU they take none of their own."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return float("inf")
    return torch.cuda.mem_get_info(device)[0] / 2


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
