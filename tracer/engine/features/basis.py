"""What a feature is: the one interface that attribution, selection and clamps go through.

A basis splits what the MLPs add to the residual stream into features: scalars that are *encoded* at
a read site and *written*, times a fixed vector, at one or more write sites. Three kinds fit it:
MLP neurons (read the hidden unit, write once), per-layer transcoders (read the MLP's input, write
once) and cross-layer transcoders (read once, write to their own and every later layer).
Nothing else in the engine knows which one it has.

In the local replacement model a feature is linear in what stands at its layer's *input site*:
pre-activation = e·x + constant, with a read vector e. What features and `b_dec` do not explain of
the MLP's output is the error.

An activation function makes a dictionary's activations of its pre-activations. It is called on
whole rows `[*batch, feature]` or, through `of(index)`, on single features; TopK has no such form,
as it needs a whole row to tell whether one of its features is on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Real
from torch import Tensor
from torch.nn.functional import embedding_bag

from tracer.engine.model.sites import Site


class Readers(NamedTuple):
    """What features read: vectors e and constants with e·x + constant = pre-activation."""

    vectors: Float[Tensor, "n d_model"]
    constants: Float[Tensor, " n"]


class Groups(NamedTuple):
    """Features in groups whose writes are added up, as a sum of weighted rows takes them."""

    order: Int[Tensor, " n"]
    """Of the entries, by group."""
    used: Int[Tensor, " used"]
    """The features, each once."""
    entry: Int[Tensor, " n"]
    """Of the ordered entries, the feature among `used`."""
    starts: Int[Tensor, " group"]
    """Where the entries of each group begin."""

    @classmethod
    def of(cls, index: Int[np.ndarray, " n"], group: Int[np.ndarray, " n"], n: int) -> Groups:
        """Features and the groups that they are in, `n` of these; on the CPU."""
        order = np.argsort(group, kind="stable")
        used, entry = np.unique(index[order], return_inverse=True)
        starts = np.searchsorted(group[order], np.arange(n))
        return cls(*(torch.from_numpy(each) for each in (order, used, entry, starts)))


class FeatureBasis(ABC):
    """Encodes, decodes, and gives the linear read and write vectors of features."""

    name: str
    n_layers: int
    is_sparse: bool
    """Whether most features are 0 almost everywhere; else every one is active, more or less."""
    d_heads: Mapping[int, int] = MappingProxyType({})
    """Where heads stand beside the features (`WithHeads`): by number of their layer, see
    `tracer.engine.features.places`, how many scalars one head is."""
    opening: tuple[int, ...] = ()
    """Tokens at the beginning of a prompt that it was not trained on, see `untrained`."""

    @abstractmethod
    def n_features(self, layer: int) -> int:
        """How many features the layer has; indices run from 0."""

    @abstractmethod
    def read_site(self, layer: int) -> Site:
        """Where the layer's features are encoded."""

    @abstractmethod
    def input_site(self, layer: int) -> Site:
        """What the features read linearly: `mlp_in`, `ln2_normalized` or `resid_mid`."""

    @abstractmethod
    def output_site(self, layer: int) -> Site:
        """What the features of this and earlier layers explain: `mlp_out` or `mlp_resid`."""

    @abstractmethod
    def write_layers(self, layer: int) -> range:
        """The layers whose output site the layer's features write to, its own first."""

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
    def W_dec(self, layer: int, index: Int[Tensor, " n"], to: int) -> Float[Tensor, "n d_model"]:
        """What features add at layer `to`'s output site per unit of activation."""

    @abstractmethod
    def b_dec(self, layer: int) -> Float[Tensor, " d_model"] | None:
        """What the basis adds at the layer's output site whatever fires; None for nothing."""

    @abstractmethod
    def W_skip(self, layer: int) -> Float[Tensor, "d_model d_model"] | None:
        """Linear part of the basis's output, `x @ W_skip.T` of the input site; None for none."""

    @abstractmethod
    def readers(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        pos: Int[Tensor, " n"],
        index: Int[Tensor, " n"],
        activations: Float[Tensor, " n"],
    ) -> Readers:
        """What each feature reads at its position, where it has the given activation at `x`."""

    @abstractmethod
    def pull_back(
        self,
        layer: int,
        x: Float[Tensor, "pos d_model"],
        gradient: Float[Tensor, "pos row n"],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "pos row d_model"]:
        """Derivative by the input site, from that by features' pre-activations: Σ gradient · e."""

    def written(
        self, layer: int, groups: Groups, amounts: Float[Tensor, " n"], to: int
    ) -> Float[Tensor, "group d_model"]:
        """Σ amount·W_dec by group: what amounts of features add at layer `to`'s output site.

        Rows of the decoder are weighted and summed in one step: a product of each row would take
        as much memory as all entries times `d_model`, and many times as long.
        """
        rows = self.W_dec(layer, groups.used, to)
        weights = amounts[groups.order].to(rows.dtype)
        return embedding_bag(
            groups.entry, rows.contiguous(), groups.starts, mode="sum", per_sample_weights=weights
        )

    def gradient(
        self,
        layer: int,
        at_outputs: Mapping[int, Float[Tensor, "*batch d_model"]],
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "*batch n"]:
        """Derivative by features' activations, from that by the output sites, by layer.

        Summed over the layers that the features write to; one that `at_outputs` lacks counts as 0.
        """
        reached = [to for to in self.write_layers(layer) if to in at_outputs]
        assert reached, f"no gradient at any layer that layer {layer} writes to"
        # Added up one by one: a target's decoder rows are let go before the next one's are read.
        parts = (
            at_outputs[to] @ self.W_dec(layer, index, to).to(at_outputs[to].dtype).T
            for to in reached
        )
        return reduce(torch.add, parts)


def rows_of(weight: Real[Tensor, "feature ..."], index: Int[Tensor, " n"]) -> Tensor:
    """Rows of a weight, copied, on its device, wherever `index` is.

    A matrix that is stored by columns is gathered along these: read row by row, each number would
    come from another part of memory.
    """
    index = index.to(weight.device)
    if weight.ndim == 2 and weight.stride(0) == 1:
        return weight.T.index_select(1, index).T.contiguous()
    return weight[index]


@dataclass(frozen=True)
class ReLU:
    """On above 0."""

    def __call__(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The pre-activations, and 0 for those below 0."""
        return pre.relu()

    def of(self, index: Int[Tensor, " n"]) -> ReLU:
        """The same for every feature."""
        return self

    def to(self, device: torch.device) -> ReLU:
        """The same on every device."""
        return self


@dataclass(frozen=True)
class JumpReLU:
    """On above the feature's own threshold, and then unchanged (a NaN stays one)."""

    threshold: Float[Tensor, " feature"]

    def __call__(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The pre-activations, and 0 for those not above their threshold."""
        return pre.masked_fill(pre <= self.threshold, 0)

    def of(self, index: Int[Tensor, " n"]) -> JumpReLU:
        """The function with the thresholds of features `index`."""
        return JumpReLU(self.threshold[index])

    def to(self, device: torch.device) -> JumpReLU:
        """The function with its thresholds on a device."""
        return JumpReLU(self.threshold.to(device))


@dataclass(frozen=True)
class TopK:
    """On where among the k largest of its layer and position.

    Those of the k that are negative stay negative, as circuit-tracer has it, or are 0 where
    `clipped`: sparsify and Llamascopium take the k largest after a ReLU.
    """

    k: int
    clipped: bool = False

    def __call__(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The k largest of each row, and 0 for the rest."""
        largest = pre.topk(self.k, dim=-1)
        values = largest.values.relu() if self.clipped else largest.values
        return torch.zeros_like(pre).scatter(-1, largest.indices, values)

    def of(self, index: Int[Tensor, " n"]) -> None:
        """None: a feature's activation depends on all features of its row."""

    def to(self, device: torch.device) -> TopK:
        """The same on every device."""
        return self


ActivationFunction = ReLU | JumpReLU | TopK
