"""Carry targets down: as gradients by the residual stream, from the top to the meeting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.replacement.ledger import Ledger, Readers
from tracer.replacement.meeting import BUDGET
from tracer.replacement.opening import Opening
from tracer.replacement.order import Chunk, Order
from tracer.replacement.state import Frozen


def passes(frozen: Frozen, order: Order) -> Iterator[list[Chunk]]:
    """Chunks whose gradients fit into half of the budget together."""
    d_model, first = frozen.resid_post.numel(), frozen.n_fixed
    together: list[Chunk] = []
    n_bytes = 0
    for places in order.chunks:
        n_pos = order.of(places)
        size = n_pos * (places.stop - places.start) * d_model * frozen.resid_post.element_size()
        if together and n_bytes + size > BUDGET / 2:
            yield together
            together, n_bytes = [], 0
        empty = torch.zeros(n_pos, 0, d_model, dtype=frozen.dtype, device=frozen.device)
        layers: list[int] = order.layer[places].tolist()
        together.append(Chunk(places, layers, slice(first, first + n_pos), empty))
        n_bytes += size
    if together:
        yield together


class Down:
    """Targets on their way down; where they stand in the order is their column."""

    def __init__(self, ledger: Ledger, order: Order, opening: Opening) -> None:
        self._ledger, self._order, self._opening = ledger, order, opening

    def enter_logits(self, chunks: list[Chunk]) -> None:
        """Logits read the stream after the last layer."""
        frozen, readers = self._ledger.frozen, self._ledger.logits()
        for chunk in chunks:
            self._enter(chunk, frozen.n_layers, readers, self._ledger.chosen.n)

    def pass_layer(self, layer: int, chunks: list[Chunk]) -> None:
        """Meet the sources of a layer, take in the targets that read in it, and go below it."""
        ledger, block = self._ledger, self._ledger.frozen.blocks[layer]
        readers = ledger.readers(layer)
        writers = ledger.writers(layer).by_position(ledger.frozen)
        attention_bias = block.attention_bias
        mlp_bias = ledger.mlp_bias(layer)
        for chunk in chunks:
            self._meet(chunk, writers)
            self._add_constants(chunk, mlp_bias)
            skipped = self._skip(layer, chunk)
            if not block.is_parallel:
                self._enter_layer(layer, chunk, readers, skipped)
            self._add_constants(chunk, attention_bias)
            arriving = block.attend_back(chunk.stream, ledger.frozen.n_fixed)
            self._reach_opening(layer, chunk, arriving)
            if block.is_parallel:
                self._enter_layer(layer, chunk, readers, skipped)

    def reach_tokens(self, chunks: list[Chunk]) -> None:
        """At the bottom the sources are the embeddings."""
        ledger = self._ledger
        first = ledger.first_token + ledger.frozen.n_fixed
        embedding = ledger.frozen.resid_pre[0][ledger.frozen.n_fixed :]
        for chunk in chunks:
            block = torch.einsum("prd,pd->pr", chunk.stream, embedding[: chunk.n_pos])
            ledger.edges[first : first + chunk.n_pos, chunk.live] += block

    def _meet(self, chunk: Chunk, writers: list[tuple[Tensor, Tensor]]) -> None:
        edges = self._ledger.edges[:, chunk.live]
        for gradient, (rows, vectors) in zip(chunk.stream, writers, strict=False):
            edges.index_add_(0, rows, vectors @ gradient.T)

    def _skip(self, layer: int, chunk: Chunk) -> Float[Tensor, "pos row d_model"] | None:
        """What goes back through the linear part of a basis, around its features."""
        W_skip = self._ledger.basis.W_skip(layer)
        if W_skip is None:
            return None
        block, here = self._ledger.frozen.blocks[layer], chunk.positions
        at_output = block.write.back(chunk.stream, block.write.scale[here, None])
        at_input = at_output @ W_skip.to(at_output.dtype)
        return block.read.back(at_input, block.read.scale[here, None])

    def _enter_layer(
        self,
        layer: int,
        chunk: Chunk,
        readers: Readers,
        skipped: Float[Tensor, "pos row d_model"] | None,
    ) -> None:
        if skipped is not None:
            chunk.stream += skipped
        self._enter(chunk, layer, readers, self._ledger.chosen.start(layer))

    def _enter(self, chunk: Chunk, layer: int, readers: Readers, first_row: int) -> None:
        """Add the chunk's targets of one layer to those on their way."""
        n_before = chunk.stream.shape[1]
        columns = chunk.entering(layer)
        which = self._order.row[columns] - first_row
        if not len(which):
            return
        chunk.enter(layer)
        self._ledger.note(columns, readers, which)
        at = self._order.pos[columns] - chunk.positions.start
        rows = torch.arange(n_before, n_before + len(which), device=at.device)
        chunk.stream[at, rows] = readers.vectors[which]

    def _add_constants(self, chunk: Chunk, bias: Float[Tensor, "pos d_model"] | None) -> None:
        if bias is not None:
            found = torch.einsum("prd,pd->r", chunk.stream, bias[chunk.positions])
            self._ledger.edges[self._ledger.constant, chunk.live] += found

    def _reach_opening(
        self, layer: int, chunk: Chunk, arriving: Float[Tensor, "fixed row d_model"]
    ) -> None:
        ledger, first = self._ledger, self._ledger.first_token
        of_token, rest = self._opening.of_token[layer], self._opening.rest[layer]
        tokens = torch.einsum("prd,fpd->fr", arriving, of_token)
        ledger.edges[first : first + ledger.frozen.n_fixed, chunk.live] += tokens
        constants = torch.einsum("prd,pd->r", arriving, rest)
        ledger.edges[ledger.constant, chunk.live] += constants
