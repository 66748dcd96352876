"""The features of a prompt, in the order of the graph's rows, and what they write and read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.basis import FeatureBasis
from tracer.replacement.state import Frozen


@dataclass(frozen=True)
class Layer:
    """The features of one layer, a run of rows: by position, then index."""

    start: int
    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    activations: Float[Tensor, " n"]


@dataclass(frozen=True)
class Chosen:
    """The features that a graph has, layer by layer."""

    layers: tuple[Layer, ...]

    @property
    def n(self) -> int:
        """How many."""
        last = self.layers[-1]
        return last.start + len(last.pos)

    def start(self, layer: int) -> int:
        """The first row of a layer."""
        return self.layers[layer].start

    def table(self) -> Int[Tensor, "feature 3"]:
        """(layer, position, index), sorted."""
        rows = [
            torch.stack([torch.full_like(x.pos, n), x.pos, x.index], 1)
            for n, x in enumerate(self.layers)
        ]
        return torch.cat(rows)


def chosen(frozen: Frozen, places: Iterable[tuple[int, int, int]]) -> Chosen:
    """The features at these (layer, position, index), each once."""
    by_layer: list[list[tuple[int, int]]] = [[] for _ in range(frozen.n_layers)]
    for layer, pos, index in sorted(set(places)):
        by_layer[layer].append((pos, index))
    layers: list[Layer] = []
    start = 0
    for layer, found in enumerate(by_layer):
        table = torch.tensor(found, dtype=torch.long, device=frozen.device).view(-1, 2)
        pos, index = table[:, 0], table[:, 1]
        layers.append(Layer(start, pos, index, frozen.active[layer].at(pos, index)))
        start += len(found)
    return Chosen(tuple(layers))


def written(
    basis: FeatureBasis, frozen: Frozen, chosen: Chosen, to: int
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, "n d_model"]]:
    """What features write at a layer's output site: their rows, positions and writes there."""
    rows: list[Tensor] = []
    pos: list[Tensor] = []
    vectors: list[Tensor] = []
    for layer, features in enumerate(chosen.layers[: to + 1]):
        if to in basis.write_layers(layer) and len(features.pos):
            unique, where = features.index.unique(return_inverse=True)
            W_dec = basis.W_dec(layer, unique, to).to(frozen.dtype)
            start, n = features.start, len(features.pos)
            rows.append(torch.arange(start, start + n, device=frozen.device))
            pos.append(features.pos)
            vectors.append(W_dec[where] * features.activations.to(frozen.dtype)[:, None])
    if not rows:
        none = torch.zeros(0, dtype=torch.long, device=frozen.device)
        return none, none, torch.zeros_like(frozen.resid_pre[0][:0])
    return torch.cat(rows), torch.cat(pos), torch.cat(vectors)


def biases(basis: FeatureBasis, frozen: Frozen, layer: int) -> Float[Tensor, " d_model"]:
    """What a layer's output site gets whatever fires: `b_dec`, and the read norm's bias skipped."""
    total = torch.zeros_like(frozen.resid_pre[0][0])
    if (b_dec := basis.b_dec(layer)) is not None:
        total = total + b_dec.to(frozen.dtype)
    if (W_skip := basis.W_skip(layer)) is not None:
        total = total + frozen.blocks[layer].read.bias.expand_as(total) @ W_skip.to(frozen.dtype).T
    return total


def errors(
    basis: FeatureBasis,
    frozen: Frozen,
    layer: int,
    pos: Int[Tensor, " n"],
    writes: Float[Tensor, "n d_model"],
) -> Float[Tensor, "pos d_model"]:
    """What a layer's MLP puts out besides the given writes, `b_dec` and the skip path."""
    left = frozen.outputs[layer].clone()
    left.index_add_(0, pos, -writes)
    if (b_dec := basis.b_dec(layer)) is not None:
        left -= b_dec.to(left.dtype)
    if (W_skip := basis.W_skip(layer)) is not None:
        left -= frozen.inputs[layer] @ W_skip.to(left.dtype).T
    return left
