"""The linear sweep: all targets carried from the top of the frozen model to its embedding, at once.

Everything between features is linear in the local replacement model, so no autograd is needed. A
target enters at its own layer with its read vector, as a gradient by the residual stream; at every
layer it passes, its edges are products with what the layer's sources write; then attention's fixed
map carries it on. Three things keep the work small: a target at position p is carried at positions
up to p only (they are taken in chunks of neighbouring positions); targets of a chunk are sorted by
layer, so that those already on their way are a prefix; and the opening special tokens, which
nothing later can change, are not carried at all: what arrives there meets the embedding as it
stands at that layer.

The work buffer is bounded: as many chunks are swept together as fit into `BUDGET`, then the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.basis import FeatureBasis
from tracer.progress import Advance
from tracer.replacement.features import Chosen, biases, errors, positions, written
from tracer.replacement.opening import open_prompt
from tracer.replacement.order import Chunk, Order, passes, sweep_order
from tracer.replacement.state import Frozen
from tracer.replacement.targets import Targets


class Swept(NamedTuple):
    """Edges by source: features, errors and tokens in the graph's order; targets in its order."""

    edges: Float[Tensor, "source target"]
    constants: Float[Tensor, " target"]
    values: Float[Tensor, " target"]


def sweep(
    basis: FeatureBasis, frozen: Frozen, chosen: Chosen, targets: Targets, advance: Advance
) -> Swept:
    """Every edge of the graph; `advance` hears of each layer that all chunks have passed.

    Costs 2·d_head·d_model·(heads + groups) operations per target, layer below it and position
    before it, and d_model per edge.
    """
    order = sweep_order(frozen, chosen, len(targets.logits))
    n_errors = frozen.n_layers * (frozen.n_pos - frozen.n_fixed)
    n_sources = chosen.n + n_errors + frozen.n_pos
    edges = torch.zeros(n_sources, len(order.row), dtype=frozen.dtype, device=frozen.device)
    line = _Line(basis, frozen, chosen, targets, order, edges)
    for chunks in passes(frozen, order):
        line.enter_logits(chunks)
        for layer in reversed(range(frozen.n_layers)):
            line.pass_layer(layer, chunks)
            advance(1)
        line.reach_tokens(chunks)
    _restore_order(edges, order.row)
    back = torch.argsort(order.row)
    return Swept(edges, line.constants[back], line.values[back])


def n_steps(frozen: Frozen, chosen: Chosen, targets: Targets) -> int:
    """How often `sweep` advances."""
    order = sweep_order(frozen, chosen, len(targets.logits))
    return frozen.n_layers * sum(1 for _ in passes(frozen, order))


class _Entering(NamedTuple):
    """Targets as they enter: read vectors by the residual stream, and what each adds up to."""

    vectors: Float[Tensor, "n d_model"]
    constants: Float[Tensor, " n"]
    values: Float[Tensor, " n"]


class _Line:
    """The sweep's state: what has been found so far, in sweep order."""

    def __init__(
        self,
        basis: FeatureBasis,
        frozen: Frozen,
        chosen: Chosen,
        targets: Targets,
        order: Order,
        edges: Float[Tensor, "source target"],
    ) -> None:
        self._basis, self._frozen, self._chosen = basis, frozen, chosen
        self._targets, self._order, self._edges = targets, order, edges
        self._opening = open_prompt(basis, frozen)
        self.constants = torch.zeros(edges.shape[1], dtype=edges.dtype, device=edges.device)
        self.values = torch.zeros_like(self.constants)

    def enter_logits(self, chunks: list[Chunk]) -> None:
        """Logits read the stream after the last layer."""
        _, vectors, constants = self._targets
        values = vectors @ self._frozen.resid_post + constants
        entering = _Entering(vectors, constants, values)
        for chunk in chunks:
            self._enter(chunk, self._frozen.n_layers, entering, self._chosen.n)

    def pass_layer(self, layer: int, chunks: list[Chunk]) -> None:
        """Meet the sources of a layer, take in the targets that read in it, and go below it."""
        frozen, block = self._frozen, self._frozen.blocks[layer]
        meet, readers = self._sources(layer), self._readers(layer)
        attention_bias = _unless_zero(block.attend(torch.zeros_like(frozen.inputs[layer])))
        mlp_bias = _unless_zero(self._mlp_bias(layer))
        for chunk in chunks:
            meet(chunk)
            self._add_constants(chunk, mlp_bias)
            skipped = self._skip(layer, chunk)
            if not block.is_parallel:
                self._enter_layer(layer, chunk, readers, skipped)
            self._add_constants(chunk, attention_bias)
            arriving = block.attend_back(chunk.gradient, frozen.n_fixed)
            self._reach_opening(layer, chunk, arriving)
            if block.is_parallel:
                self._enter_layer(layer, chunk, readers, skipped)

    def reach_tokens(self, chunks: list[Chunk]) -> None:
        """At the bottom the sources are the embeddings."""
        first = self._edges.shape[0] - self._frozen.n_pos + self._frozen.n_fixed
        embedding = self._frozen.resid_pre[0][self._frozen.n_fixed :]
        for chunk in chunks:
            block = torch.einsum("prd,pd->pr", chunk.gradient, embedding[: chunk.n_pos])
            self._edges[first : first + chunk.n_pos, chunk.live] = block

    def _sources(self, layer: int) -> Callable[[Chunk], None]:
        """Products with what the layer's features and errors add to the residual stream."""
        frozen, write = self._frozen, self._frozen.blocks[layer].write
        rows, pos, writes = written(self._basis, frozen, self._chosen, layer)
        left = write.linear(errors(self._basis, frozen, layer, pos, writes), slice(None))
        vectors = torch.cat([write.linear(writes, pos), left[frozen.n_fixed :]])
        n_carried = frozen.n_pos - frozen.n_fixed
        start = self._chosen.n + layer * n_carried
        rows = torch.cat([rows, torch.arange(start, start + n_carried, device=rows.device)])
        carried = torch.arange(frozen.n_fixed, frozen.n_pos, device=pos.device)
        at = positions(torch.cat([pos, carried]) - frozen.n_fixed, n_carried)
        by_pos = [(rows[which], vectors[which]) for which in at]

        def meet(chunk: Chunk) -> None:
            edges = self._edges[:, chunk.live]
            for gradient, (sources, theirs) in zip(chunk.gradient, by_pos, strict=False):
                edges.index_add_(0, sources, theirs @ gradient.T)

        return meet

    def _mlp_bias(self, layer: int) -> Float[Tensor, "pos d_model"]:
        """What a layer's output site adds to the stream whatever fires."""
        bias = biases(self._basis, self._frozen, layer).expand_as(self._frozen.inputs[layer])
        return self._frozen.blocks[layer].write(bias)

    def _readers(self, layer: int) -> _Entering:
        """The layer's features as targets."""
        frozen, read = self._frozen, self._frozen.blocks[layer].read
        features, x = self._chosen.layers[layer], frozen.inputs[layer]
        vectors, constants = self._basis.readers(layer, x, features.pos, features.index)
        return _Entering(
            read.back(vectors, read.scale[features.pos]),
            constants + (vectors * read.bias).sum(1),
            constants + (vectors * x[features.pos]).sum(1),
        )

    def _skip(self, layer: int, chunk: Chunk) -> Float[Tensor, "pos row d_model"] | None:
        """What goes back through the linear part of a basis, around its features."""
        W_skip = self._basis.W_skip(layer)
        if W_skip is None:
            return None
        block = self._frozen.blocks[layer]
        here = slice(self._frozen.n_fixed, self._frozen.n_fixed + chunk.n_pos)
        at_output = block.write.back(chunk.gradient, block.write.scale[here, None])
        at_input = at_output @ W_skip.to(at_output.dtype)
        return block.read.back(at_input, block.read.scale[here, None])

    def _enter_layer(
        self,
        layer: int,
        chunk: Chunk,
        readers: _Entering,
        skipped: Float[Tensor, "pos row d_model"] | None,
    ) -> None:
        if skipped is not None:
            chunk.gradient += skipped
        self._enter(chunk, layer, readers, self._chosen.start(layer))

    def _enter(self, chunk: Chunk, layer: int, entering: _Entering, first_row: int) -> None:
        """Add the chunk's targets of one layer to those on their way."""
        columns = chunk.entering(layer)
        which = self._order.row[columns] - first_row
        if not len(which):
            return
        self.constants[columns] += entering.constants[which]
        self.values[columns] = entering.values[which]
        n_pos, _, d_model = chunk.gradient.shape
        fresh = chunk.gradient.new_zeros(n_pos, len(which), d_model)
        at = self._order.pos[columns] - self._frozen.n_fixed
        fresh[at, torch.arange(len(which), device=at.device)] = entering.vectors[which]
        chunk.gradient = torch.cat([chunk.gradient, fresh], dim=1)

    def _add_constants(self, chunk: Chunk, bias: Float[Tensor, "pos d_model"] | None) -> None:
        if bias is not None:
            first = self._frozen.n_fixed
            here = bias[first : first + chunk.n_pos]
            self.constants[chunk.live] += torch.einsum("prd,pd->r", chunk.gradient, here)

    def _reach_opening(
        self, layer: int, chunk: Chunk, arriving: Float[Tensor, "fixed row d_model"]
    ) -> None:
        first = self._edges.shape[0] - self._frozen.n_pos
        of_token, rest = self._opening.of_token[layer], self._opening.rest[layer]
        tokens = torch.einsum("prd,fpd->fr", arriving, of_token)
        self._edges[first : first + self._frozen.n_fixed, chunk.live] += tokens
        self.constants[chunk.live] += torch.einsum("prd,pd->r", arriving, rest)


def _unless_zero(bias: Tensor) -> Tensor | None:
    return bias if bool((bias != 0).any()) else None


def _restore_order(edges: Float[Tensor, "source target"], row: Int[Tensor, " target"]) -> None:
    """Put the targets into the graph's order, a block of sources at a time."""
    back = torch.argsort(row)
    for block in edges.split(1024):
        block.copy_(block[:, back])
