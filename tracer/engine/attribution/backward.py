"""The backward pass (VJP): targets' gradients, carried from the logits down to the split layer.

A target t enters with its read vector; g_t[pos] = Jᵀ (read vector of t) is the gradient of its
value by the residual stream. At each layer it gives the edges from the sources that write there.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, PrefixStream, Reads
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.node_order import BUDGET, NodeBatch, NodeOrder
from tracer.engine.attribution.nodes import Writes


def batch_groups(frozen: Frozen, order: NodeOrder) -> Iterator[list[slice]]:
    """Batches whose gradients fit into half of the budget together."""
    position_bytes = frozen.resid_post.numel() * frozen.resid_post.element_size()
    group: list[slice] = []
    n_bytes = 0
    for members in order.batches:
        size = order.n_pos(members) * (members.stop - members.start) * position_bytes
        if group and n_bytes + size > BUDGET / 2:
            yield group
            group, n_bytes = [], 0
        group.append(members)
        n_bytes += size
    if group:
        yield group


class BackwardPass:
    """Carries targets; a target's place in the order is its column of the edge matrix."""

    def __init__(
        self, accumulator: EdgeAccumulator, order: NodeOrder, prefix: list[PrefixStream]
    ) -> None:
        self._accumulator, self._order, self._prefix = accumulator, order, prefix

    def start(self, group: list[slice]) -> list[NodeBatch]:
        """Batches in which the logits have entered: they read the stream after the last layer."""
        frozen, reads = self._accumulator.frozen, self._accumulator.logit_reads()
        first = frozen.n_prefix
        batches: list[NodeBatch] = []
        for members in group:
            positions = slice(first, first + self._order.n_pos(members))
            batch = self._order.batch(members, positions, frozen.resid_post)
            self._enter(batch, frozen.n_layers, reads, self._accumulator.chosen.n)
            batches.append(batch)
        return batches

    def pass_layer(self, layer: int, batches: list[NodeBatch]) -> None:
        """Add the edges from a layer's sources, let its targets enter, and go below it."""
        accumulator, block = self._accumulator, self._accumulator.frozen.blocks[layer]
        reads, writes = accumulator.feature_reads(layer), accumulator.writes(layer)
        attention_bias, first_row = block.attention_bias, accumulator.chosen.layers[layer].start
        for batch in batches:
            self._add_edges(batch, writes)
            skipped = self._skip(layer, batch)
            if block.is_parallel:
                self._pass_attention(layer, batch, attention_bias)
            if skipped is not None:
                batch.stream.add_(skipped)
            self._enter(batch, layer, reads, first_row)
            if not block.is_parallel:
                self._pass_attention(layer, batch, attention_bias)

    def add_token_edges(self, batches: list[NodeBatch]) -> None:
        """Add the edges from the embeddings, which are the stream before the first layer."""
        accumulator, n_prefix = self._accumulator, self._accumulator.frozen.n_prefix
        first, embedding = accumulator.first_token + n_prefix, accumulator.frozen.resid_pre[0]
        for batch in batches:
            batch.make_dense()
            # edges[token pos, t] += embedding[pos] · g_t[pos]   [token, target]
            here = embedding[n_prefix : n_prefix + batch.n_pos]
            found = torch.einsum("rpd,pd->pr", batch.stream, here)
            accumulator.edges[first : first + batch.n_pos, batch.dense] += found

    def _enter(self, batch: NodeBatch, layer: int, reads: Reads, first_row: int) -> None:
        """Let the batch's targets of a layer enter: g_t[pos of t] = read vector of t."""
        columns = batch.entering(layer)
        which = self._order.row[columns] - first_row
        self._accumulator.add_targets(columns, reads, which)
        batch.enter(self._order.pos[columns], reads.vectors[which])

    def _add_edges(self, batch: NodeBatch, writes: Writes) -> None:
        """edges[s, t] += write[s, pos] · g_t[pos], by position of what is written."""
        edges = self._accumulator.edges
        at = writes.pos[writes.pos < batch.positions.stop] - batch.positions.start
        rows, vectors = writes.rows[: len(at)], writes.vectors[: len(at)]
        edges[:, batch.dense].index_add_(0, rows, batch.products(at, vectors))
        for columns, stream in batch.sparse_streams():
            edges[:, columns].index_add_(0, rows, stream.products(at, vectors))

    def _skip(self, layer: int, batch: NodeBatch) -> Float[Tensor, "row pos d_model"] | None:
        """What goes back around the features: readᵀ W_skipᵀ writeᵀ g."""
        W_skip = self._accumulator.basis.W_skip(layer)
        if W_skip is None:
            return None
        batch.make_dense()
        block, here = self._accumulator.frozen.blocks[layer], batch.positions
        at_output = block.write.back(batch.stream, block.write.scale[here])
        at_input = at_output @ W_skip.to(at_output.dtype)
        return block.read.back(at_input, block.read.scale[here])

    def _pass_attention(
        self, layer: int, batch: NodeBatch, bias: Float[Tensor, "pos d_model"] | None
    ) -> None:
        """G += J_attentionᵀ g, after the edges from what attention adds of itself."""
        block, n_prefix = self._accumulator.frozen.blocks[layer], self._accumulator.frozen.n_prefix
        if bias is not None:
            self._add_constants(batch, bias[batch.positions])
        batch.make_costly_dense(len(block.U))
        at_prefix = block.attend_vjp(batch.stream, n_prefix)
        self._add_prefix_edges(layer, batch.dense, at_prefix)
        for number, (columns, stream) in enumerate(batch.sparse_streams()):
            batch.sparse[number], at_prefix = block.attend_vjp_sparse(stream, n_prefix)
            self._add_prefix_edges(layer, columns, at_prefix)

    def _add_constants(self, batch: NodeBatch, bias: Float[Tensor, "pos d_model"]) -> None:
        """edges[constant, t] += Σ_pos bias[pos] · g_t[pos]."""
        edges = self._accumulator.edges[self._accumulator.constant]
        edges[batch.dense] += torch.einsum("rpd,pd->r", batch.stream, bias)
        every = torch.arange(batch.n_pos, device=bias.device)
        for columns, stream in batch.sparse_streams():
            edges[columns] += stream.products(every, bias).sum(0)

    def _add_prefix_edges(
        self, layer: int, columns: slice, gradient: Float[Tensor, "row prefix d_model"]
    ) -> None:
        """edges[prefix token f, t] += Σ_pos stream_f[pos] · gradient_t[pos]; the rest: constant."""
        accumulator, prefix = self._accumulator, self._prefix[layer]
        first, n = accumulator.first_token, accumulator.frozen.n_prefix
        tokens = torch.einsum("rpd,fpd->fr", gradient, prefix.of_token)
        accumulator.edges[first : first + n, columns] += tokens
        accumulator.edges[accumulator.constant, columns] += torch.einsum(
            "rpd,pd->r", gradient, prefix.rest
        )
