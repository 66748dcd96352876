"""The nodes of a graph on a frozen prompt: the vectors that they read and write.

A target reads value = read vector · residual stream + constant; a source writes vectors into the
stream, at one layer or at several. All are by the residual stream, with the norms' frozen scales
and weights in them. Everything that is read off a frozen prompt (edges, what heads carry of them,
why heads look where they look) starts from these.

Rows of targets: features, then logits. Rows of sources: features, errors (layer by layer, at every
position after the special-token prefix), then tokens; one row more stands for all that is constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.nodes import ChosenFeatures, Writes, errors, feature_writes
from tracer.engine.attribution.targets import Targets
from tracer.engine.features.basis import FeatureBasis


class Reads(NamedTuple):
    """Targets of one layer: value = read vector · residual stream + constant."""

    vectors: Float[Tensor, "n d_model"]
    """By the residual stream."""
    constants: Float[Tensor, " n"]
    values: Float[Tensor, " n"]


@dataclass(frozen=True)
class FrozenGraph:
    """A frozen prompt, the features that its graph has, and what the graph explains."""

    basis: FeatureBasis
    frozen: Frozen
    chosen: ChosenFeatures
    targets: Targets

    @property
    def n_carried(self) -> int:
        """Positions after the special-token prefix: those with features and errors."""
        return self.frozen.n_pos - self.frozen.n_prefix

    @property
    def first_token(self) -> int:
        """Row of the first token."""
        return self.chosen.n + self.frozen.n_layers * self.n_carried

    @property
    def constant(self) -> int:
        """Row of what is constant; as many rows are before it as there are sources."""
        return self.first_token + self.frozen.n_pos

    @property
    def n_targets(self) -> int:
        """Rows of targets."""
        return self.chosen.n + len(self.targets.logits)

    def logit_reads(self) -> Reads:
        """The explained logits as targets."""
        _, vectors, constants = self.targets
        return Reads(vectors, constants, vectors @ self.frozen.resid_post + constants)

    def feature_reads(self, layer: int) -> Reads:
        """A layer's features as targets."""
        frozen, read = self.frozen, self.frozen.blocks[layer].read
        features, x = self.chosen.layers[layer], frozen.inputs[layer]
        # pre-activation = e_t · x + constant; x = read(residual stream)
        e, constants = self.basis.readers(
            layer, x, features.pos, features.index, features.activations
        )
        return Reads(
            read.back(e, read.scale[features.pos]),
            constants + (e * read.bias).sum(1),
            constants + (e * x[features.pos]).sum(1),
        )

    def writes(self, layer: int) -> Writes:
        """What a layer's MLP adds to the residual stream, sorted by position.

        That is a_s · W_dec[s] of the features, an error at every carried position, and the bias
        where there is one, which counts as constant.
        """
        frozen, write = self.frozen, self.frozen.blocks[layer].write
        features = feature_writes(self.basis, frozen, self.chosen, layer)
        left = write.linear(errors(self.basis, frozen, layer, features), slice(None))
        carried = torch.arange(frozen.n_prefix, frozen.n_pos, device=frozen.device)
        first = self.chosen.n + layer * self.n_carried - frozen.n_prefix
        parts = [
            features._replace(vectors=write.linear(features.vectors, features.pos)),
            Writes(first + carried, carried, left[carried]),
        ]
        if (bias := self.mlp_bias(layer)) is not None:
            parts.append(Writes(torch.full_like(carried, self.constant), carried, bias[carried]))
        rows, pos, vectors = map(torch.cat, zip(*parts, strict=True))
        order = torch.argsort(pos, stable=True)
        return Writes(rows[order], pos[order], vectors[order])

    def head_writes(self, layer: int) -> Writes | None:
        """What a layer's heads that are nodes add to the residual stream; None where none is."""
        heads = self.chosen.heads_at(layer)
        return None if heads is None else Writes(heads.rows, heads.pos, heads.writes)

    def n_writes_at(self, layer: int) -> list[int]:
        """How many vectors of `writes` there are at each position."""
        frozen, layers = self.frozen, self.chosen.layers
        each = 1 + self._has_mlp_bias[layer]
        found = [0] * frozen.n_prefix + [each] * self.n_carried
        for below in range(layer + 1):
            if layer in self.basis.write_layers(below):
                found = list(map(add, found, layers[below].n_at))
        return found

    def writes_again(self, layer: int) -> Bool[Tensor, " source"]:
        """Which sources of layers below write at a layer's MLP, too; on the CPU."""
        found = torch.zeros(self.constant + 1, dtype=torch.bool)
        for below, features in enumerate(self.chosen.layers[:layer]):
            if layer in self.basis.write_layers(below):
                found[features.start : features.start + len(features.pos)] = True
        return found

    def mlp_bias(self, layer: int) -> Float[Tensor, "pos d_model"] | None:
        """What a layer's MLP adds to the stream whatever fires; None for nothing.

        That is write(b_dec + W_skip · bias of the read norm).
        """
        return self._mlp_bias(layer) if self._has_mlp_bias[layer] else None

    @cached_property
    def _has_mlp_bias(self) -> list[bool]:
        """By layer, whether anything of `_mlp_bias` is not zero; read at once."""
        layers = range(self.frozen.n_layers)
        return torch.stack([(self._mlp_bias(layer) != 0).any() for layer in layers]).tolist()

    def _mlp_bias(self, layer: int) -> Float[Tensor, "pos d_model"]:
        frozen, block = self.frozen, self.frozen.blocks[layer]
        bias = torch.zeros_like(frozen.inputs[layer])
        if (b_dec := self.basis.b_dec(layer)) is not None:
            bias = bias + b_dec.to(bias.dtype)
        if (W_skip := self.basis.W_skip(layer)) is not None:
            bias = bias + block.read.bias.expand(bias.shape[1]) @ W_skip.to(bias.dtype).T
        return block.write(bias)

    def skip_vjp(
        self, layer: int, gradient: Float[Tensor, "row pos d_model"], here: slice
    ) -> Float[Tensor, "row pos d_model"] | None:
        """What goes back around a layer's features, readᵀ W_skipᵀ writeᵀ g; None for nothing.

        Args:
            layer: The layer.
            gradient: By the residual stream after the layer's MLP.
            here: The positions that it is at.
        """
        W_skip, block = self.basis.W_skip(layer), self.frozen.blocks[layer]
        if W_skip is None:
            return None
        at_output = block.write.back(gradient, block.write.scale[here])
        at_input = at_output @ W_skip.to(at_output.dtype)
        return block.read.back(at_input, block.read.scale[here])

    def skip_jvp(
        self, layer: int, stream: Float[Tensor, "row pos d_model"], here: slice
    ) -> Float[Tensor, "row pos d_model"] | None:
        """What passes around a layer's features, write W_skip read x; None for nothing.

        Args:
            layer: The layer.
            stream: Parts of the residual stream that the layer's features read.
            here: The positions that they are at.
        """
        W_skip, block = self.basis.W_skip(layer), self.frozen.blocks[layer]
        if W_skip is None:
            return None
        read = block.read.linear(stream, here)
        return block.write.linear(read @ W_skip.to(read.dtype).T, here)
