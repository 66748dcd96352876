"""The forward pass (JVP): sources' writes, carried from where they write up to the split layer.

A source s enters with its write vector; x_s[pos] = J (write vector of s) is its part of the
residual stream. At each layer it gives the edges to the features that read there. Features, errors
and embeddings are carried in batches. One batch more holds what comes from the special-token prefix
and all that is constant: these get something new at every layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, PrefixStream, Reads
from tracer.engine.attribution.node_order import NodeBatch, NodeOrder
from tracer.engine.attribution.nodes import Writes
from tracer.engine.progress import Advance

EMBEDDING = -1
"""The layer at which embeddings enter."""


class ForwardPass:
    """Carries sources."""

    def __init__(
        self, accumulator: EdgeAccumulator, order: NodeOrder, prefix: list[PrefixStream]
    ) -> None:
        self._accumulator, self._order, self._prefix = accumulator, order, prefix
        frozen, first = accumulator.frozen, accumulator.first_token
        self._place = torch.full((accumulator.constant + 1,), -1, device=frozen.device)
        self._place[order.row] = torch.arange(len(order.row), device=frozen.device)
        self._batches = [self._batch(members) for members in order.batches]
        self._prefix_rows = torch.tensor(
            [*range(first, first + frozen.n_prefix), accumulator.constant], device=frozen.device
        )
        n_rows, carried = len(self._prefix_rows), slice(frozen.n_prefix, frozen.n_pos)
        empty = frozen.resid_post.new_zeros(n_rows, accumulator.n_carried, len(frozen.resid_post))
        self._from_prefix = NodeBatch(slice(0, n_rows), [], carried, empty, n_dense=n_rows)

    def rows(self, batch: NodeBatch) -> Tensor:
        """Which sources a batch's dense streams are of."""
        return self._prefix_rows if batch is self._from_prefix else self._order.row[batch.dense]

    def carry_to(self, split_layer: int, advance: Advance) -> list[NodeBatch]:
        """Carry all sources below a layer up to it, and add the edges to the targets below it."""
        frozen = self._accumulator.frozen
        pos = torch.arange(frozen.n_prefix, frozen.n_pos, device=frozen.device)
        tokens = Writes(self._accumulator.first_token + pos, pos, frozen.resid_pre[0][pos])
        for batch in self._batches:
            self._write(batch, EMBEDDING, tokens)
        batches = [self._from_prefix, *self._batches]
        for layer in range(split_layer):
            self._pass_layer(layer, batches)
            advance(1)
        for batch in batches:
            batch.make_dense()
        return batches

    def _batch(self, members: slice) -> NodeBatch:
        frozen, n_pos = self._accumulator.frozen, self._order.n_pos(members)
        positions = slice(frozen.n_pos - n_pos, frozen.n_pos)
        return self._order.batch(members, positions, frozen.resid_post)

    def _pass_layer(self, layer: int, batches: list[NodeBatch]) -> None:
        accumulator, block = self._accumulator, self._accumulator.frozen.blocks[layer]
        features = accumulator.chosen.layers[layer]
        reads, writes = accumulator.feature_reads(layer), accumulator.writes(layer)
        mlp_bias = accumulator.mlp_bias(layer)
        first = int(accumulator.column[features.start]) if len(features.pos) else 0
        columns = slice(first, first + len(features.pos))
        accumulator.add_targets(columns, reads, slice(None))
        for batch in batches:
            if not block.is_parallel:
                self._pass_attention(layer, batch)
            self._add_edges(layer, batch, reads, columns)
            skipped = self._skip(layer, batch)
            if block.is_parallel:
                self._pass_attention(layer, batch)
            if skipped is not None:
                batch.stream.add_(skipped)
            if batch is self._from_prefix:
                self._add_constant(mlp_bias)
            else:
                self._write(batch, layer, writes)

    def _pass_attention(self, layer: int, batch: NodeBatch) -> None:
        """X += J_attention x; to the constant row also the bias of attention."""
        block = self._accumulator.frozen.blocks[layer]
        batch.make_costly_dense(len(block.U))
        block.attend_jvp(batch.stream, batch.positions)
        batch.sparse = [block.attend_jvp_sparse(each, batch.positions) for each in batch.sparse]
        if batch is self._from_prefix:
            of_token, rest = self._prefix[layer]
            stream = torch.cat([of_token, rest[None]])
            batch.stream.add_(block.attend_from_prefix(stream, batch.positions))
            self._add_constant(block.attention_bias)

    def _add_edges(self, layer: int, batch: NodeBatch, reads: Reads, columns: slice) -> None:
        """edges[s, t] += x_s[pos of t] · read vector of t   [source, target]."""
        pos = self._accumulator.chosen.layers[layer].pos
        n_before = int((pos < batch.positions.start).sum())
        at, vectors = pos[n_before:] - batch.positions.start, reads.vectors[n_before:]
        edges = self._accumulator.edges[:, columns.start + n_before : columns.stop]
        edges.index_add_(0, self.rows(batch), batch.products(at, vectors).T)
        for members, stream in batch.sparse_streams():
            edges.index_add_(0, self._order.row[members], stream.products(at, vectors).T)

    def _skip(self, layer: int, batch: NodeBatch) -> Float[Tensor, "row pos d_model"] | None:
        """What passes around the features: write W_skip read x."""
        W_skip = self._accumulator.basis.W_skip(layer)
        if W_skip is None:
            return None
        batch.make_dense()
        block, here = self._accumulator.frozen.blocks[layer], batch.positions
        read = block.read.linear(batch.stream, here)
        return block.write.linear(read @ W_skip.to(read.dtype).T, here)

    def _add_constant(self, bias: Float[Tensor, "pos d_model"] | None) -> None:
        if bias is not None:
            self._from_prefix.stream[-1] += bias[self._from_prefix.positions]

    def _write(self, batch: NodeBatch, layer: int, writes: Writes) -> None:
        """x_s[pos] += what s writes at a layer; the sources that enter there start with it."""
        place = self._place[writes.rows]

        def of(members: slice) -> tuple[Tensor, Tensor, Tensor]:
            here = (place >= members.start) & (place < members.stop)
            at = writes.pos[here] - batch.positions.start
            return place[here] - members.start, at, writes.vectors[here]

        row, at, vectors = of(batch.dense)
        batch.stream.index_put_((row, at), vectors, accumulate=True)
        for number, (members, stream) in enumerate(batch.sparse_streams()):
            batch.sparse[number] = stream.with_writes(*of(members))
        row, at, vectors = of(batch.entering(layer))
        order = torch.argsort(row)
        batch.enter(at[order] + batch.positions.start, vectors[order])
