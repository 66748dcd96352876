"""The features that a graph has, in the order of its rows, and what they and the errors write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.features.basis import FeatureBasis, Place


@dataclass(frozen=True)
class LayerFeatures:
    """The features of one layer, a run of the graph's rows: by position, then index."""

    start: int
    """The first row."""
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    activations: Float[Tensor, " n"]


@dataclass(frozen=True)
class ChosenFeatures:
    """The features that a graph has, layer by layer."""

    layers: tuple[LayerFeatures, ...]

    @property
    def n(self) -> int:
        """How many."""
        last = self.layers[-1]
        return last.start + len(last.pos)

    def table(self) -> Int[Tensor, "feature 3"]:
        """(layer, position, index), sorted."""
        return torch.cat(
            [
                torch.stack([torch.full_like(x.pos, layer), x.pos, x.index], 1)
                for layer, x in enumerate(self.layers)
            ]
        )


def chosen(frozen: Frozen, places: Iterable[Place]) -> ChosenFeatures:
    """The features at these (layer, position, index), each once."""
    by_layer: list[list[tuple[int, int]]] = [[] for _ in range(frozen.n_layers)]
    for layer, pos, index in sorted(set(places)):
        by_layer[layer].append((pos, index))
    layers: list[LayerFeatures] = []
    start = 0
    for layer, found in enumerate(by_layer):
        table = torch.tensor(found, dtype=torch.long, device=frozen.device).view(-1, 2)
        pos, index = table[:, 0], table[:, 1]
        layers.append(LayerFeatures(start, pos, index, frozen.active[layer].at(pos, index)))
        start += len(found)
    return ChosenFeatures(tuple(layers))


class Writes(NamedTuple):
    """Vectors that sources write at one layer."""

    rows: Int[Tensor, " n"]
    """Of the sources in the graph's order; one source may write at several positions."""
    pos: Int[Tensor, " n"]
    vectors: Float[Tensor, "n d_model"]


def feature_writes(basis: FeatureBasis, frozen: Frozen, chosen: ChosenFeatures, to: int) -> Writes:
    """a_s · W_dec[s → to] of every feature s that writes at layer `to`'s output site."""
    pos = [torch.zeros(0, dtype=torch.long, device=frozen.device)]
    rows, vectors = [pos[0]], [torch.zeros_like(frozen.resid_pre[0][:0])]
    for layer, features in enumerate(chosen.layers[: to + 1]):
        if to in basis.write_layers(layer) and len(features.pos):
            unique, where = features.index.unique(return_inverse=True)
            W_dec = basis.W_dec(layer, unique, to).to(frozen.dtype)
            start = features.start
            rows.append(torch.arange(start, start + len(features.pos), device=frozen.device))
            pos.append(features.pos)
            vectors.append(W_dec[where] * features.activations.to(frozen.dtype)[:, None])
    return Writes(torch.cat(rows), torch.cat(pos), torch.cat(vectors))


def errors(
    basis: FeatureBasis, frozen: Frozen, layer: int, features: Writes
) -> Float[Tensor, "pos d_model"]:
    """Error = MLP output − Σ_s a_s · W_dec[s] − b_dec − W_skip x, at the layer's output site."""
    left = frozen.outputs[layer].clone()
    left.index_add_(0, features.pos, -features.vectors)
    if (b_dec := basis.b_dec(layer)) is not None:
        left -= b_dec.to(left.dtype)
    if (W_skip := basis.W_skip(layer)) is not None:
        left -= frozen.inputs[layer] @ W_skip.to(left.dtype).T
    return left
