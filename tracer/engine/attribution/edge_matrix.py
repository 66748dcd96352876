"""The edge matrix while it is filled: where rows and columns stand, and what is read off a layer.

Rows are sources in the graph's order, and one more for all that is constant. Columns are targets in
the order in which they are found: those that travel, then those that are passed.

The opening positions of a prompt: special tokens that no later token can change.

Their embeddings are nodes, but nothing is carried back through them. The embedding of each is
carried *forwards* through the frozen layers once; what else stands there (the MLPs' outputs,
biases) is a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.nodes import ChosenFeatures, biases, errors, written
from tracer.engine.attribution.targets import Targets
from tracer.engine.features.basis import FeatureBasis


class TargetReaders(NamedTuple):
    """Targets of one layer: read vectors by the residual stream, and what each adds up to."""

    vectors: Float[Tensor, "n d_model"]
    constants: Float[Tensor, " n"]
    values: Float[Tensor, " n"]


class Writers(NamedTuple):
    """What a layer's MLP adds to the residual stream, sorted by position.

    Features, an error at every carried position, and the bias there where there is one.
    """

    rows: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]
    vectors: Float[Tensor, "n d_model"]


class EdgeAccumulator:
    """A graph in the making."""

    def __init__(
        self,
        basis: FeatureBasis,
        frozen: Frozen,
        chosen: ChosenFeatures,
        targets: Targets,
        found: Int[Tensor, " target"],
    ) -> None:
        """`found` lists the targets in column order."""
        self.basis, self.frozen, self.chosen, self.targets = basis, frozen, chosen, targets
        self.n_carried = frozen.n_pos - frozen.n_fixed
        self.first_token = chosen.n + frozen.n_layers * self.n_carried
        self.constant = self.first_token + frozen.n_pos
        self.edges = torch.zeros(
            self.constant + 1, len(found), dtype=frozen.dtype, device=frozen.device
        )
        self.values = torch.zeros_like(self.edges[0])
        self._found = found
        self.column = torch.argsort(found)
        """Of each target."""

    def note(self, columns: Tensor | slice, readers: TargetReaders, which: Tensor | slice) -> None:
        """Keep targets' values and own constants."""
        self.values[columns] = readers.values[which]
        self.edges[self.constant, columns] += readers.constants[which]

    def logits(self) -> TargetReaders:
        """The explained logits as targets."""
        _, vectors, constants = self.targets
        return TargetReaders(vectors, constants, vectors @ self.frozen.resid_post + constants)

    def readers(self, layer: int) -> TargetReaders:
        """A layer's features as targets."""
        frozen, read = self.frozen, self.frozen.blocks[layer].read
        features, x = self.chosen.layers[layer], frozen.inputs[layer]
        vectors, constants = self.basis.readers(
            layer, x, features.pos, features.index, features.activations
        )
        return TargetReaders(
            read.back(vectors, read.scale[features.pos]),
            constants + (vectors * read.bias).sum(1),
            constants + (vectors * x[features.pos]).sum(1),
        )

    def writers(self, layer: int) -> Writers:
        """Features that write at a layer, its errors, and its bias as part of the constants."""
        frozen, write = self.frozen, self.frozen.blocks[layer].write
        rows, pos, writes = written(self.basis, frozen, self.chosen, layer)
        left = write.linear(errors(self.basis, frozen, layer, pos, writes), slice(None))
        carried = torch.arange(frozen.n_fixed, frozen.n_pos, device=pos.device)
        first = self.chosen.n + layer * self.n_carried - frozen.n_fixed
        parts = [
            (rows, pos, write.linear(writes, pos)),
            (first + carried, carried, left[carried]),
        ]
        if (bias := self.mlp_bias(layer)) is not None:
            parts.append((torch.full_like(carried, self.constant), carried, bias[carried]))
        all_rows, all_pos, vectors = map(torch.cat, zip(*parts, strict=True))
        order = torch.argsort(all_pos, stable=True)
        return Writers(all_rows[order], all_pos[order], vectors[order])

    def mlp_bias(self, layer: int) -> Float[Tensor, "pos d_model"] | None:
        """What a layer's output site adds to the stream whatever fires; None for nothing."""
        bias = biases(self.basis, self.frozen, layer).expand_as(self.frozen.inputs[layer])
        added = self.frozen.blocks[layer].write(bias)
        return added if bool((added != 0).any()) else None

    def restore_order(self) -> None:
        """Put the targets into the graph's order, a block of sources at a time."""
        for block in self.edges.split(64):
            block.copy_(block.gather(1, self.column.expand(len(block), -1)))
        self.values = self.values[self.column]


@dataclass(frozen=True)
class Opening:
    """What stands in the residual stream before each layer, at the opening positions."""

    of_token: tuple[Float[Tensor, "fixed pos d_model"], ...]
    """The part that came from each opening token's embedding."""
    rest: tuple[Float[Tensor, "pos d_model"], ...]
    """Everything else."""


def open_prompt(basis: FeatureBasis, frozen: Frozen) -> Opening:
    """Carry each opening embedding up through the frozen layers."""
    n = frozen.n_fixed
    x = torch.diag_embed(torch.ones(n, dtype=frozen.dtype, device=frozen.device))
    x = x[:, :, None] * frozen.resid_pre[0][:n]
    of_token: list[Tensor] = []
    rest: list[Tensor] = []
    for layer, block in enumerate(frozen.blocks):
        of_token.append(x)
        rest.append(frozen.resid_pre[layer][:n] - x.sum(0))
        middle = x + block.attend_from(x, slice(0, n))
        W_skip = basis.W_skip(layer)
        if W_skip is not None:
            read = block.read.linear(x if block.is_parallel else middle, slice(n))
            middle = middle + block.write.linear(read @ W_skip.to(x.dtype).T, slice(n))
        x = middle
    return Opening(tuple(of_token), tuple(rest))
