"""The edge matrix while a sweep fills it, and the read and write vectors of a layer.

An edge is A[s → t] = (write vector of s) · Jᵀ (read vector of t), with J the frozen Jacobian from
where s writes to where t reads. While the sweep runs, rows are *sources* in the graph's order, with
one row more for all that is constant; columns are *targets* in the order in which they are found:
those carried backward, then those that sources reach on their way forward. The finished graph is
the transpose, row = target, column = source.

No gradient is carried back through the special tokens at the front of a prompt, which no later
token can change. Their embeddings are nodes, each carried forward through the frozen layers once
(`prefix_streams`); what else stands there (the MLPs' outputs, biases) counts as constant.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
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


class EdgeAccumulator:
    """The edges [source, target] that a sweep adds up."""

    def __init__(
        self,
        basis: FeatureBasis,
        frozen: Frozen,
        chosen: ChosenFeatures,
        targets: Targets,
        order: Int[Tensor, " target"],
    ) -> None:
        """`order` lists the targets' rows of the graph in the order of the columns."""
        self.basis, self.frozen, self.chosen, self.targets = basis, frozen, chosen, targets
        self.n_carried = frozen.n_pos - frozen.n_prefix
        self.first_token = chosen.n + frozen.n_layers * self.n_carried
        self.constant = self.first_token + frozen.n_pos
        shape = self.constant + 1, len(order)
        self.edges = torch.zeros(shape, dtype=frozen.dtype, device=frozen.device)
        self.values = torch.zeros_like(self.edges[0])
        self.column = torch.argsort(order)
        """Of each target."""

    def add_targets(self, columns: Tensor | slice, reads: Reads, which: Tensor | slice) -> None:
        """Keep targets' values and own constants."""
        self.values[columns] = reads.values[which]
        self.edges[self.constant, columns] += reads.constants[which]

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

    def mlp_bias(self, layer: int) -> Float[Tensor, "pos d_model"] | None:
        """What a layer's MLP adds to the stream whatever fires; None for nothing.

        That is write(b_dec + W_skip · bias of the read norm).
        """
        frozen, block = self.frozen, self.frozen.blocks[layer]
        bias = torch.zeros_like(frozen.inputs[layer])
        if (b_dec := self.basis.b_dec(layer)) is not None:
            bias = bias + b_dec.to(bias.dtype)
        if (W_skip := self.basis.W_skip(layer)) is not None:
            bias = bias + block.read.bias.expand(bias.shape[1]) @ W_skip.to(bias.dtype).T
        added = block.write(bias)
        return added if bool((added != 0).any()) else None

    def restore_order(self) -> None:
        """Put the targets into the graph's order, a block of sources at a time."""
        for block in self.edges.split(64):
            block.copy_(block.gather(1, self.column.expand(len(block), -1)))
        self.values = self.values[self.column]


class PrefixStream(NamedTuple):
    """The residual stream before one layer at the special-token prefix, as a sum."""

    of_token: Float[Tensor, "token prefix d_model"]
    """The part that comes from each of its tokens' embeddings."""
    rest: Float[Tensor, "prefix d_model"]
    """Everything else."""


def prefix_streams(basis: FeatureBasis, frozen: Frozen) -> list[PrefixStream]:
    """Carry the embeddings of the prefix forward; one `PrefixStream` a layer."""
    n = frozen.n_prefix
    x = torch.diag_embed(torch.ones(n, dtype=frozen.dtype, device=frozen.device))
    x = x[:, :, None] * frozen.resid_pre[0][:n]
    found: list[PrefixStream] = []
    for layer, block in enumerate(frozen.blocks):
        found.append(PrefixStream(x, frozen.resid_pre[layer][:n] - x.sum(0)))
        # x' = (1 + J_attention) x, then + write W_skip read x' (of x where they are parallel)
        middle = x + block.attend_from_prefix(x, slice(0, n))
        if (W_skip := basis.W_skip(layer)) is not None:
            read = block.read.linear(x if block.is_parallel else middle, slice(n))
            middle = middle + block.write.linear(read @ W_skip.to(x.dtype).T, slice(n))
        x = middle
    return found
