"""Carry targets down: as gradients by the residual stream, from the top to the meeting."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, Opening, TargetReaders, Writers
from tracer.engine.attribution.frozen import Frozen
from tracer.engine.attribution.schedule import BUDGET, Chunk, Order


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
        together.append(order.chunk(places, slice(first, first + n_pos), frozen.resid_post))
        n_bytes += size
    if together:
        yield together


class Down:
    """Targets on their way down; where they stand in the order is their column."""

    def __init__(self, ledger: EdgeAccumulator, order: Order, opening: Opening) -> None:
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
        writers = ledger.writers(layer)
        attention_bias = block.attention_bias
        for chunk in chunks:
            self._meet(chunk, writers)
            skipped = self._skip(layer, chunk)
            if not block.is_parallel:
                self._enter_layer(layer, chunk, readers, skipped)
            self._add_constants(chunk, attention_bias)
            self._attend(layer, chunk)
            if block.is_parallel:
                self._enter_layer(layer, chunk, readers, skipped)

    def _attend(self, layer: int, chunk: Chunk) -> None:
        """Go back through a layer's attention."""
        block, n_fixed = self._ledger.frozen.blocks[layer], self._ledger.frozen.n_fixed
        chunk.mature(len(block.U))
        arriving = block.attend_back(chunk.stream, n_fixed)
        self._reach_opening(layer, chunk.live, arriving)
        for number, (places, cohort) in enumerate(chunk.cohorts()):
            chunk.young[number], arriving = block.spread_back(cohort, n_fixed)
            self._reach_opening(layer, places, arriving)

    def reach_tokens(self, chunks: list[Chunk]) -> None:
        """At the bottom the sources are the embeddings."""
        ledger = self._ledger
        first = ledger.first_token + ledger.frozen.n_fixed
        embedding = ledger.frozen.resid_pre[0][ledger.frozen.n_fixed :]
        for chunk in chunks:
            chunk.arrive()
            block = torch.einsum("rpd,pd->pr", chunk.stream, embedding[: chunk.n_pos])
            ledger.edges[first : first + chunk.n_pos, chunk.live] += block

    def _meet(self, chunk: Chunk, writers: Writers) -> None:
        """Products of what is carried with what the layer writes, by position."""
        edges = self._ledger.edges
        at = writers.pos[writers.pos < chunk.positions.stop] - chunk.positions.start
        rows, vectors = writers.rows[: len(at)], writers.vectors[: len(at)]
        edges[:, chunk.live].index_add_(0, rows, chunk.meet(at, vectors))
        for places, cohort in chunk.cohorts():
            edges[:, places].index_add_(0, rows, cohort.meet(at, vectors))

    def _skip(self, layer: int, chunk: Chunk) -> Float[Tensor, "row pos d_model"] | None:
        """What goes back through the linear part of a basis, around its features."""
        W_skip = self._ledger.basis.W_skip(layer)
        if W_skip is None:
            return None
        chunk.arrive()
        block, here = self._ledger.frozen.blocks[layer], chunk.positions
        at_output = block.write.back(chunk.stream, block.write.scale[here])
        at_input = at_output @ W_skip.to(at_output.dtype)
        return block.read.back(at_input, block.read.scale[here])

    def _enter_layer(
        self,
        layer: int,
        chunk: Chunk,
        readers: TargetReaders,
        skipped: Float[Tensor, "row pos d_model"] | None,
    ) -> None:
        if skipped is not None:
            chunk.stream.add_(skipped)
        self._enter(chunk, layer, readers, self._ledger.chosen.start(layer))

    def _enter(self, chunk: Chunk, layer: int, readers: TargetReaders, first_row: int) -> None:
        """Add the chunk's targets of one layer to those on their way."""
        columns = chunk.entering(layer)
        which = self._order.row[columns] - first_row
        self._ledger.note(columns, readers, which)
        chunk.enter(self._order.pos[columns], readers.vectors[which])

    def _add_constants(self, chunk: Chunk, bias: Float[Tensor, "pos d_model"] | None) -> None:
        if bias is None:
            return
        edges, here = self._ledger.edges[self._ledger.constant], bias[chunk.positions]
        edges[chunk.live] += torch.einsum("rpd,pd->r", chunk.stream, here)
        every = torch.arange(chunk.n_pos, device=here.device)
        for places, cohort in chunk.cohorts():
            edges[places] += cohort.meet(every, here).sum(0)

    def _reach_opening(
        self, layer: int, places: slice, arriving: Float[Tensor, "row fixed d_model"]
    ) -> None:
        ledger, first = self._ledger, self._ledger.first_token
        of_token, rest = self._opening.of_token[layer], self._opening.rest[layer]
        tokens = torch.einsum("rpd,fpd->fr", arriving, of_token)
        ledger.edges[first : first + ledger.frozen.n_fixed, places] += tokens
        ledger.edges[ledger.constant, places] += torch.einsum("rpd,pd->r", arriving, rest)
