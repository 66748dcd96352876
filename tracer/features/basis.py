"""What a feature is: the one interface attribution, selection and clamps go through.

A basis splits what the MLPs add to the residual stream into features: scalars that are *encoded* at
a read site and *written*, times a fixed vector, at one or more write sites. Three kinds fit it:
MLP neurons (read the hidden unit, write once), per-layer transcoders (read the MLP's input, write
once) and cross-layer transcoders (read once, write to their own and every later layer).
Nothing else in the engine knows which one it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from tracer.model.model import Site


class Write(NamedTuple):
    """What a feature adds at a site per unit of activation: its row of `W_dec`."""

    site: Site
    vectors: Float[Tensor, "n d_model"]


class FeatureBasis(ABC):
    """Encodes, decodes, and gives the linear read and write vectors of features."""

    name: str
    n_layers: int

    @abstractmethod
    def n_features(self, layer: int) -> int:
        """How many features the layer has; indices run from 0."""

    @abstractmethod
    def read_site(self, layer: int) -> Site:
        """Where the layer's features are encoded."""

    @abstractmethod
    def encode(
        self, layer: int, x: Float[Tensor, "*batch d_read"]
    ) -> Float[Tensor, "*batch feature"]:
        """Activations of all the layer's features for what stands at the read site."""

    @abstractmethod
    def encode_at(
        self,
        layer: int,
        x: Float[Tensor, "row pos d_read"],
        row: Int[Tensor, " n"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """Activations of single features, each at a row and position of `x`."""

    @abstractmethod
    def writes(self, layer: int, index: Int[Tensor, " n"]) -> Sequence[Write]:
        """Where features write and what, the layer's own site first."""

    @abstractmethod
    def write_sites(self, layer: int) -> Sequence[Site]:
        """The sites the layer's features write to."""

    @abstractmethod
    def gradient(
        self, layer: int, at_writes: Mapping[Site, Float[Tensor, "*batch d_model"]]
    ) -> Float[Tensor, "*batch feature"]:
        """Derivative by each feature's activation, from the derivative at its write sites."""

    @abstractmethod
    def read_vectors(
        self, layer: int, x: Float[Tensor, " d_model"], index: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d_model"]:
        """What each feature reads: vectors e with e·x (+ bias) = its pre-activation at `x`.

        `x` is the MLP's input at one position, after its norm.
        """
