"""The two passes of a sweep: targets' gradients backward (VJP), sources' writes forward (JVP).

A target t enters with its read vector; g_t[pos] = Jᵀ (read vector of t) is the gradient of its
value by the residual stream. At each layer down to the split layer it gives the edges from the
sources that write there.

A source s enters with its write vector; x_s[pos] = J (write vector of s) is its part of the
residual stream. At each layer up to the split layer it gives the edges to the features that read
there. Features, errors and embeddings are carried in batches. One batch more holds what comes from
the special-token prefix and all that is constant: these get something new at every layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, PrefixStream
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.frozen_graph import Reads
from tracer.engine.attribution.node_streams import NodeBatch, NodeOrder, within_budget
from tracer.engine.attribution.nodes import Writes
from tracer.engine.progress import Advance
from tracer.engine.sums import add_rows

EMBEDDING = -1
"""The depth at which embeddings enter."""


def batch_groups(frozen: Frozen, order: NodeOrder) -> Iterator[list[slice]]:
    """Batches whose gradients fit into half of the budget together."""
    position_bytes = frozen.resid_post.numel() * frozen.resid_post.element_size()

    def n_bytes(members: slice) -> int:
        return order.n_pos(members) * (members.stop - members.start) * position_bytes

    return within_budget(order.batches, n_bytes)


class BackwardPass:
    """Carries targets; a target's place in the order is its column of the edge matrix."""

    def __init__(
        self, accumulator: EdgeAccumulator, order: NodeOrder, prefix: list[PrefixStream]
    ) -> None:
        self._accumulator, self._order, self._prefix = accumulator, order, prefix
        self._graph = accumulator.graph

    def start(self, group: list[slice]) -> list[NodeBatch]:
        """Batches in which the logits have entered: they read the stream after the last layer."""
        frozen, reads = self._graph.frozen, self._graph.logit_reads()
        end = 2 * frozen.n_layers
        first = frozen.n_prefix
        batches: list[NodeBatch] = []
        for members in group:
            positions = slice(first, first + self._order.n_pos(members))
            batch = self._order.batch(members, positions, frozen.resid_post)
            self._enter(batch, end, reads, self._graph.chosen.n)
            batches.append(batch)
        return batches

    def pass_layer(self, layer: int, batches: list[NodeBatch]) -> None:
        """Add the edges from a layer's sources, let its targets enter, and go below it."""
        graph, block = self._graph, self._graph.frozen.blocks[layer]
        reads, writes = graph.feature_reads(layer), graph.writes(layer)
        attention_bias, first_row = block.attention_bias, graph.chosen.layers[layer].start
        n_at = graph.n_writes_at(layer)
        for batch in batches:
            self._add_edges(batch, writes, n_at)
            skipped = self._skip(layer, batch)
            if block.is_parallel:
                self._pass_attention(layer, batch, attention_bias)
            if skipped is not None:
                batch.stream.add_(skipped)
            self._enter(batch, 2 * layer + 1, reads, first_row)
            if not block.is_parallel:
                self._pass_attention(layer, batch, attention_bias)
            self._enter_heads(batch, layer)

    def add_token_edges(self, batches: list[NodeBatch]) -> None:
        """Add the edges from the embeddings, which are the stream before the first layer."""
        frozen, edges = self._graph.frozen, self._accumulator.edges
        first, embedding = self._graph.first_token + frozen.n_prefix, frozen.resid_pre[0]
        for batch in batches:
            batch.make_dense()
            # edges[token pos, t] += embedding[pos] · g_t[pos]   [token, target]
            here = embedding[batch.positions]
            found = torch.einsum("rpd,pd->pr", batch.stream, here)
            edges[first : first + batch.n_pos, batch.dense] += found

    def _enter(self, batch: NodeBatch, depth: int, reads: Reads, first_row: int) -> None:
        """Let the batch's features or logits enter: g_t[pos of t] = read vector of t."""
        columns = batch.entering(depth)
        which = self._order.row[columns] - first_row
        self._accumulator.add_targets(columns, reads, which)
        batch.enter(self._order.pos[columns], reads.vectors[which])

    def _enter_heads(self, batch: NodeBatch, layer: int) -> None:
        """Let the batch's heads of a layer enter: g_t[k] = spread[k] · vector of t."""
        heads = self._graph.chosen.heads_at(layer)
        if heads is not None:
            columns = batch.entering(2 * layer)
            which = self._order.row[columns] - heads.start
            self._accumulator.add_head_targets(columns, heads, which, self._prefix[layer])
            batch.enter_spread(heads.spread[which][:, batch.positions], heads.vectors[which])

    def _add_edges(self, batch: NodeBatch, writes: Writes, n_at: Sequence[int]) -> None:
        """edges[s, t] += write[s, pos] · g_t[pos], by position of what is written.

        `n_at` says how many vectors are written at each position.
        """
        edges, counts = self._accumulator.edges, n_at[batch.positions]
        n = sum(counts)
        at = writes.pos[:n] - batch.positions.start
        rows, vectors = writes.rows[:n], writes.vectors[:n]
        add_rows(edges[:, batch.dense], rows, batch.products(vectors, counts))
        for columns, stream in batch.sparse_streams():
            add_rows(edges[:, columns], rows, stream.products(at, vectors))

    def _skip(self, layer: int, batch: NodeBatch) -> Float[Tensor, "row pos d_model"] | None:
        """What goes back around the features: readᵀ W_skipᵀ writeᵀ g."""
        if self._graph.basis.W_skip(layer) is not None:
            batch.make_dense()
        return self._graph.skip_vjp(layer, batch.stream, batch.positions)

    def _pass_attention(
        self, layer: int, batch: NodeBatch, bias: Float[Tensor, "pos d_model"] | None
    ) -> None:
        """G += J_attentionᵀ g, after the edges from heads, and from attention's own constants."""
        frozen = self._graph.frozen
        block, n_prefix = frozen.blocks[layer], frozen.n_prefix
        if (heads := self._graph.chosen.heads_at(layer)) is not None:
            self._add_edges(batch, Writes(heads.rows, heads.pos, heads.writes), heads.n_at)
        if bias is not None:
            self._add_constants(batch, bias[batch.positions])
        batch.make_costly_dense(len(block.U))
        at_prefix = block.attend_vjp(batch.stream, n_prefix)
        self._accumulator.add_prefix_edges(batch.dense, at_prefix, self._prefix[layer])
        for number, (columns, stream) in enumerate(batch.sparse_streams()):
            batch.sparse[number], at_prefix = block.attend_vjp_sparse(stream, n_prefix)
            self._accumulator.add_prefix_edges(columns, at_prefix, self._prefix[layer])

    def _add_constants(self, batch: NodeBatch, bias: Float[Tensor, "pos d_model"]) -> None:
        """edges[constant, t] += Σ_pos bias[pos] · g_t[pos]."""
        edges = self._accumulator.edges[self._graph.constant]
        edges[batch.dense] += torch.einsum("rpd,pd->r", batch.stream, bias)
        every = torch.arange(batch.n_pos, device=bias.device)
        for columns, stream in batch.sparse_streams():
            edges[columns] += stream.products(every, bias).sum(0)


class ForwardPass:
    """Carries sources."""

    def __init__(
        self, accumulator: EdgeAccumulator, order: NodeOrder, prefix: list[PrefixStream]
    ) -> None:
        self._accumulator, self._order, self._prefix = accumulator, order, prefix
        self._graph = graph = accumulator.graph
        frozen, first = graph.frozen, graph.first_token
        self._batches = [self._batch(members) for members in order.batches]
        self._prefix_rows = torch.tensor(
            [*range(first, first + frozen.n_prefix), graph.constant],
            device=frozen.device,
        )
        n_rows, carried = len(self._prefix_rows), slice(frozen.n_prefix, frozen.n_pos)
        empty = frozen.resid_post.new_zeros(n_rows, graph.n_carried, len(frozen.resid_post))
        self._from_prefix = NodeBatch(slice(0, n_rows), [], carried, empty, n_dense=n_rows)

    def rows(self, batch: NodeBatch) -> Tensor:
        """Which sources a batch's dense streams are of."""
        return self._prefix_rows if batch is self._from_prefix else self._order.row[batch.dense]

    def carry_to(self, split_layer: int, advance: Advance) -> list[NodeBatch]:
        """Carry all sources below a layer up to it, and add the edges to the targets below it."""
        frozen = self._graph.frozen
        pos = torch.arange(frozen.n_prefix, frozen.n_pos, device=frozen.device)
        tokens = Writes(self._graph.first_token + pos, pos, frozen.resid_pre[0][pos])
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
        frozen, n_pos = self._graph.frozen, self._order.n_pos(members)
        positions = slice(frozen.n_pos - n_pos, frozen.n_pos)
        return self._order.batch(members, positions, frozen.resid_post)

    def _pass_layer(self, layer: int, batches: list[NodeBatch]) -> None:
        accumulator, graph, block = self._accumulator, self._graph, self._graph.frozen.blocks[layer]
        features = graph.chosen.layers[layer]
        reads, writes = graph.feature_reads(layer), graph.writes(layer)
        mlp_bias = graph.mlp_bias(layer)
        first = int(accumulator.column[features.start]) if len(features.pos) else 0
        columns = slice(first, first + len(features.pos))
        accumulator.add_targets(columns, reads, slice(None))
        self._add_head_edges(layer, batches)
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
                self._write(batch, 2 * layer + 1, writes)

    def _pass_attention(self, layer: int, batch: NodeBatch) -> None:
        """X += J_attention x, then heads enter; to the constant row also the bias of attention."""
        block = self._graph.frozen.blocks[layer]
        batch.make_costly_dense(len(block.U))
        block.attend_jvp(batch.stream, batch.positions)
        batch.sparse = [block.attend_jvp_sparse(each, batch.positions) for each in batch.sparse]
        if batch is self._from_prefix:
            of_token, rest = self._prefix[layer]
            stream = torch.cat([of_token, rest[None]])
            batch.stream.add_(block.attend_from_prefix(stream, batch.positions))
            self._add_constant(block.attention_bias)
        elif (of_heads := self._graph.head_writes(layer)) is not None:
            self._write(batch, 2 * layer, of_heads)

    def _add_head_edges(self, layer: int, batches: list[NodeBatch]) -> None:
        """edges[s, t] += Σ_k spread_t[k] · x_s[k] · vector of t, of the layer's heads t."""
        heads, accumulator = self._graph.chosen.heads_at(layer), self._accumulator
        if heads is None:
            return
        first = int(accumulator.column[heads.start])
        columns = slice(first, first + len(heads.pos))
        accumulator.add_head_targets(columns, heads, slice(None), self._prefix[layer])
        edges = accumulator.edges[:, columns]
        for batch in batches:
            spread = heads.spread[:, batch.positions]
            add_rows(edges, self.rows(batch), batch.sums(heads.vectors, spread).T)
            for members, stream in batch.sparse_streams():
                found = stream.sums(heads.vectors, spread)
                add_rows(edges, self._order.row[members], found.T)

    def _add_edges(self, layer: int, batch: NodeBatch, reads: Reads, columns: slice) -> None:
        """edges[s, t] += x_s[pos of t] · read vector of t   [source, target]."""
        pos = self._graph.chosen.layers[layer].pos
        n_at = self._graph.chosen.layers[layer].n_at
        n_before = sum(n_at[: batch.positions.start])
        at, vectors = pos[n_before:] - batch.positions.start, reads.vectors[n_before:]
        edges = self._accumulator.edges[:, columns.start + n_before : columns.stop]
        add_rows(edges, self.rows(batch), batch.products(vectors, n_at[batch.positions]).T)
        for members, stream in batch.sparse_streams():
            add_rows(edges, self._order.row[members], stream.products(at, vectors).T)

    def _skip(self, layer: int, batch: NodeBatch) -> Float[Tensor, "row pos d_model"] | None:
        """What passes around the features: write W_skip read x."""
        if self._graph.basis.W_skip(layer) is not None:
            batch.make_dense()
        return self._graph.skip_jvp(layer, batch.stream, batch.positions)

    def _add_constant(self, bias: Float[Tensor, "pos d_model"] | None) -> None:
        if bias is not None:
            self._from_prefix.stream[-1] += bias[self._from_prefix.positions]

    def _write(self, batch: NodeBatch, depth: int, writes: Writes) -> None:
        """x_s[pos] += what s writes at a depth; the sources that enter there start with it."""
        order = torch.argsort(writes.rows, stable=True)
        rows = writes.rows[order]

        def of(members: slice) -> tuple[Tensor, Tensor]:
            """Position and vector of each member; vectors of 0 for those that write nothing."""
            wanted = self._order.row[members]
            at = torch.searchsorted(rows, wanted).clamp_max(len(rows) - 1)
            is_there, entry = rows[at] == wanted, order[at]
            pos = torch.where(is_there, writes.pos[entry] - batch.positions.start, 0)
            return pos, torch.where(is_there[:, None], writes.vectors[entry], 0)

        if depth % 2 and depth > 0:  # at an MLP
            again = self._graph.writes_again(depth // 2)[self._order.row_on_cpu]
            if bool(again[batch.dense].any()):
                pos, vectors = of(batch.dense)
                row = torch.arange(len(pos), device=pos.device)
                batch.stream.index_put_((row, pos), vectors, accumulate=True)
            for number, (members, stream) in enumerate(batch.sparse_streams()):
                if bool(again[members].any()):
                    batch.sparse[number] = stream.with_writes(*of(members))
        pos, vectors = of(batch.entering(depth))
        batch.enter(pos + batch.positions.start, vectors)
