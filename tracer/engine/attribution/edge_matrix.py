"""The edge matrix while a sweep fills it.

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
from tracer.engine.attribution.frozen_graph import FrozenGraph, Reads
from tracer.engine.attribution.nodes import LayerHeads
from tracer.engine.features.basis import FeatureBasis


class EdgeAccumulator:
    """The edges [source, target] that a sweep adds up."""

    def __init__(self, graph: FrozenGraph, order: Int[Tensor, " target"]) -> None:
        """`order` lists the targets' rows of the graph in the order of the columns; on the CPU."""
        self.graph = graph
        shape = graph.constant + 1, len(order)
        self.edges = torch.zeros(shape, dtype=graph.frozen.dtype, device=graph.frozen.device)
        self.values = torch.zeros_like(self.edges[0])
        self.column = torch.argsort(order)
        """Of each target; on the CPU."""

    def add_targets(self, columns: Tensor | slice, reads: Reads, which: Tensor | slice) -> None:
        """Keep targets' values and own constants."""
        self.values[columns] = reads.values[which]
        self.edges[self.graph.constant, columns] += reads.constants[which]

    def add_prefix_edges(
        self, columns: slice, gradient: Float[Tensor, "row prefix d_model"], prefix: PrefixStream
    ) -> None:
        """edges[prefix token f, t] += Σ_pos stream_f[pos] · gradient_t[pos]; the rest: constant.

        Args:
            columns: Of the targets.
            gradient: Their gradients by the residual stream before a layer, at the prefix.
            prefix: The stream there.
        """
        first, n = self.graph.first_token, self.graph.frozen.n_prefix
        tokens = torch.einsum("rpd,fpd->fr", gradient, prefix.of_token)
        self.edges[first : first + n, columns] += tokens
        rest = torch.einsum("rpd,pd->r", gradient, prefix.rest)
        self.edges[self.graph.constant, columns] += rest

    def add_head_targets(
        self, columns: slice, heads: LayerHeads, which: Tensor | slice, prefix: PrefixStream
    ) -> None:
        """Keep values and constants of heads, and their edges from the special-token prefix."""
        self.values[columns] = heads.values[which]
        self.edges[self.graph.constant, columns] += heads.constants[which]
        at_prefix = heads.spread[which, : self.graph.frozen.n_prefix]
        gradient = at_prefix[..., None] * heads.vectors[which][:, None]
        self.add_prefix_edges(columns, gradient, prefix)

    def restore_order(self) -> None:
        """Put the targets into the graph's order, a block of sources at a time."""
        column = self.column.to(self.edges.device)
        for block in self.edges.split(64):
            block.copy_(block.gather(1, column.expand(len(block), -1)))
        self.values = self.values[column]


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
