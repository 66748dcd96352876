"""Carry sources up: as parts of the residual stream, from where they write to the meeting.

Features, errors and embeddings travel in chunks. One chunk more holds what comes from the opening
positions, and all that is constant: these get something new at every layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.attribution.edge_matrix import EdgeAccumulator, Opening, TargetReaders, Writers
from tracer.engine.attribution.schedule import Chunk, Order
from tracer.engine.progress import Advance

BEFORE = -1
"""The layer that embeddings enter at."""


class Up:
    """Sources on their way up."""

    def __init__(self, ledger: EdgeAccumulator, order: Order, opening: Opening) -> None:
        self._ledger, self._order, self._opening = ledger, order, opening
        frozen = ledger.frozen
        self._place = torch.full((ledger.constant + 1,), -1, device=frozen.device)
        self._place[order.row] = torch.arange(len(order.row), device=frozen.device)
        self.chunks = [self._chunk(places) for places in order.chunks]
        first, n_rows = ledger.first_token, frozen.n_fixed + 1
        self._opening_rows = torch.tensor(
            [*range(first, first + frozen.n_fixed), ledger.constant], device=frozen.device
        )
        empty = frozen.resid_post.new_zeros(n_rows, ledger.n_carried, len(frozen.resid_post))
        carried = slice(frozen.n_fixed, frozen.n_pos)
        self.from_opening = Chunk(slice(0, n_rows), [], carried, empty, n_live=n_rows)

    def rows(self, chunk: Chunk) -> Tensor:
        """Which sources a chunk's streams are of."""
        return self._opening_rows if chunk is self.from_opening else self._order.row[chunk.live]

    def climb(self, meeting: int, advance: Advance) -> list[Chunk]:
        """Carry all sources below a layer up to it, meeting the targets on the way."""
        self._enter_tokens()
        everyone = [self.from_opening, *self.chunks]
        for layer in range(meeting):
            self._pass_layer(layer, everyone)
            advance(1)
        for chunk in everyone:
            chunk.arrive()
        return everyone

    def _chunk(self, places: slice) -> Chunk:
        frozen, n_pos = self._ledger.frozen, self._order.of(places)
        at = slice(frozen.n_pos - n_pos, frozen.n_pos)
        return self._order.chunk(places, at, frozen.resid_post)

    def _enter_tokens(self) -> None:
        frozen = self._ledger.frozen
        pos = torch.arange(frozen.n_fixed, frozen.n_pos, device=frozen.device)
        tokens = Writers(self._ledger.first_token + pos, pos, frozen.resid_pre[0][pos])
        for chunk in self.chunks:
            self._write(chunk, BEFORE, tokens)

    def _pass_layer(self, layer: int, chunks: list[Chunk]) -> None:
        ledger, block = self._ledger, self._ledger.frozen.blocks[layer]
        features = ledger.chosen.layers[layer]
        readers, writers = ledger.readers(layer), ledger.writers(layer)
        first = int(ledger.column[features.start]) if len(features.pos) else 0
        columns = slice(first, first + len(features.pos))
        ledger.note(columns, readers, slice(None))
        for chunk in chunks:
            skipped = None
            if block.is_parallel:
                self._meet(layer, chunk, readers, columns)
                skipped = self._skip(layer, chunk)
            self._attend(layer, chunk)
            if chunk is self.from_opening:
                self._attend_to_opening(layer)
            if not block.is_parallel:
                self._meet(layer, chunk, readers, columns)
                skipped = self._skip(layer, chunk)
            if skipped is not None:
                chunk.stream.add_(skipped)
            if chunk is self.from_opening:
                self._add_constant(ledger.mlp_bias(layer))
            else:
                self._write(chunk, layer, writers)

    def _attend(self, layer: int, chunk: Chunk) -> None:
        block = self._ledger.frozen.blocks[layer]
        chunk.mature(len(block.U))
        block.attend_on(chunk.stream, chunk.positions)
        chunk.young = [block.spread_on(cohort, chunk.positions) for cohort in chunk.young]

    def _meet(self, layer: int, chunk: Chunk, readers: TargetReaders, columns: slice) -> None:
        """Products of what is carried with what the layer's features read, by position."""
        pos = self._ledger.chosen.layers[layer].pos
        n_before = int((pos < chunk.positions.start).sum())
        at, vectors = pos[n_before:] - chunk.positions.start, readers.vectors[n_before:]
        there = self._ledger.edges[:, columns.start + n_before : columns.stop]
        there.index_add_(0, self.rows(chunk), chunk.meet(at, vectors).T)
        for places, cohort in chunk.cohorts():
            there.index_add_(0, self._order.row[places], cohort.meet(at, vectors).T)

    def _skip(self, layer: int, chunk: Chunk) -> Float[Tensor, "row pos d_model"] | None:
        """What passes through the linear part of a basis, around its features."""
        W_skip = self._ledger.basis.W_skip(layer)
        if W_skip is None:
            return None
        chunk.arrive()
        block, here = self._ledger.frozen.blocks[layer], chunk.positions
        read = block.read.linear(chunk.stream, here)
        return block.write.linear(read @ W_skip.to(read.dtype).T, here)

    def _attend_to_opening(self, layer: int) -> None:
        """What attention takes from the opening positions, and what it adds of itself."""
        block = self._ledger.frozen.blocks[layer]
        chunk, opening = self.from_opening, self._opening
        stands = torch.cat([opening.of_token[layer], opening.rest[layer][None]])
        chunk.stream.add_(block.attend_from(stands, chunk.positions))
        self._add_constant(block.attention_bias)

    def _add_constant(self, bias: Float[Tensor, "pos d_model"] | None) -> None:
        if bias is not None:
            self.from_opening.stream[-1] += bias[self.from_opening.positions]

    def _write(self, chunk: Chunk, layer: int, writers: Writers) -> None:
        """Add what is written at a layer, and take in the chunk's sources that enter there."""
        place = self._place[writers.rows]

        def mine(places: slice) -> tuple[Tensor, Tensor, Tensor]:
            here = (place >= places.start) & (place < places.stop)
            at = writers.pos[here] - chunk.positions.start
            return place[here] - places.start, at, writers.vectors[here]

        row, at, vectors = mine(chunk.live)
        chunk.stream.index_put_((row, at), vectors, accumulate=True)
        for number, (places, cohort) in enumerate(chunk.cohorts()):
            chunk.young[number] = cohort.with_writes(*mine(places))
        row, at, vectors = mine(chunk.entering(layer))
        order = torch.argsort(row)
        chunk.enter(at[order] + chunk.positions.start, vectors[order])
