"""Nodes that are carried through the frozen layers together: their order, batches, sparse streams.

Targets are carried backward, sources forward. A target at position p is carried at the positions up
to p, a source at those from p on; their number is the node's *width*. Nodes are sorted by width and
cut into batches, and each batch is sorted by the depth at which its nodes enter, so that those that
have entered are always its first rows: dense streams first, then sparse ones.

A node enters with one vector at one position. A pass through attention adds every head's image of
it, spread over the positions in proportions that the frozen patterns alone decide. While the images
are fewer than the positions, the stream of a node is kept as

    stream[row, pos] = Σ_term coefficients[pos, term, row] · terms[term, row]    [row, pos, d_model]

and attention's value and output maps are applied to the terms only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

BUDGET = 1 << 30
"""Bytes for the streams that are held at once; the edge matrix itself comes on top."""
BATCH_CELLS = 2048
"""Rows × positions of one batch: enough for the matrix products, few enough to stay in cache."""
LEAST_ROWS = 16
"""Of a batch, however long the prompt."""


Batch = TypeVar("Batch")


def within_budget(
    batches: Iterable[Batch], n_bytes: Callable[[Batch], int]
) -> Iterator[list[Batch]]:
    """Batches in their order, as many together as fit into half of the budget; one at least."""
    group: list[Batch] = []
    total = 0
    for batch in batches:
        size = n_bytes(batch)
        if group and total + size > BUDGET / 2:
            yield group
            group, total = [], 0
        group.append(batch)
        total += size
    if group:
        yield group


@dataclass(frozen=True)
class SparseStream:
    """The streams of nodes that entered at the same depth."""

    terms: Float[Tensor, "term row d_model"]
    coefficients: Float[Tensor, "pos term row"]

    @property
    def n_rows(self) -> int:
        """How many nodes."""
        return self.terms.shape[1]

    def is_cheaper(self, n_heads: int) -> bool:
        """Whether one more pass through attention costs less on terms than on positions."""
        n_pos, n_terms, _ = self.coefficients.shape
        return n_terms * (1 + n_heads) <= n_pos

    def write_dense(self, stream: Float[Tensor, "row pos d_model"]) -> None:
        """Write the vector of every position into `stream`."""
        torch.bmm(self.coefficients.permute(2, 0, 1), self.terms.transpose(0, 1), out=stream)

    def products(
        self, at: Int[Tensor, " n"], vectors: Float[Tensor, "n d_model"]
    ) -> Float[Tensor, "n row"]:
        """stream[row, at[n]] · vectors[n] for every row."""
        products = self.terms @ vectors.T
        return torch.einsum("krn,nkr->nr", products, self.coefficients[at])

    def sums(
        self, vectors: Float[Tensor, "n d_model"], spread: Float[Tensor, "n pos"]
    ) -> Float[Tensor, "n row"]:
        """Σ_pos spread[n, pos] · stream[row, pos] · vectors[n] for every row."""
        shares = torch.einsum("np,pkr->krn", spread, self.coefficients)
        return torch.einsum("krn,krn->nr", self.terms @ vectors.T, shares)

    def with_terms(
        self, terms: Float[Tensor, "... d_model"], coefficients: Float[Tensor, "pos ... row"]
    ) -> SparseStream:
        """The same nodes with more terms; axes between are flattened to [term, row]."""
        more = terms.reshape(-1, self.n_rows, terms.shape[-1])
        proportions = coefficients.flatten(1, -2)
        return SparseStream(
            torch.cat([self.terms, more]), torch.cat([self.coefficients, proportions], 1)
        )

    def with_writes(
        self, at: Int[Tensor, " row"], vectors: Float[Tensor, "row d_model"]
    ) -> SparseStream:
        """One vector more for each of the nodes, at one position; it may be 0."""
        coefficients = torch.zeros_like(self.coefficients[:, :1])
        coefficients[at, 0, torch.arange(self.n_rows, device=at.device)] = 1.0
        return self.with_terms(vectors[None], coefficients)


def sparse_stream(
    at: Int[Tensor, " row"], vectors: Float[Tensor, "row d_model"], n_pos: int
) -> SparseStream:
    """Nodes with one vector each, at one position."""
    coefficients = vectors.new_zeros(n_pos, 1, len(vectors))
    coefficients[at, 0, torch.arange(len(vectors), device=at.device)] = 1.0
    return SparseStream(vectors[None], coefficients)


def n_sparse_passes(width: Int[Tensor, " n"], n_heads: int) -> Int[Tensor, " n"]:
    """Passes through attention for which `SparseStream.is_cheaper`, by number of positions."""
    passes, n_terms = torch.zeros_like(width), 1 + n_heads
    while bool((n_terms <= width).any()):
        passes += n_terms <= width
        n_terms *= 1 + n_heads
    return passes


class NodePlaces(NamedTuple):
    """Row in the graph's order, depth and position of targets, or of sources."""

    row: Int[Tensor, " n"]
    depth: Int[Tensor, " n"]
    """At which the node enters: 2 · layer at a layer's attention, 2 · layer + 1 at its MLP; −1 for
    embeddings, 2 · n_layers for logits."""
    pos: Int[Tensor, " n"]

    def where(self, mask: Tensor) -> NodePlaces:
        """Some of them."""
        return NodePlaces(*(each[mask] for each in self))

    def to(self, device: torch.device | str) -> NodePlaces:
        """The same on a device: what is planned by them is planned on the CPU."""
        return NodePlaces(*torch.stack([*self]).to(device))


@dataclass(frozen=True)
class NodeOrder:
    """Nodes in the order in which they are carried."""

    row: Int[Tensor, " n"]
    row_on_cpu: Int[Tensor, " n"]
    depth: Int[Tensor, " n"]
    """On the CPU."""
    pos: Int[Tensor, " n"]
    width: Int[Tensor, " n"]
    """On the CPU."""
    batches: tuple[slice, ...]

    def n_pos(self, members: slice) -> int:
        """At how many positions a batch is carried."""
        return int(self.width[members].max())

    def batch(self, members: slice, positions: slice, like: Float[Tensor, " d_model"]) -> NodeBatch:
        """The batch of these nodes, before any of them has entered."""
        n_rows, n_pos = members.stop - members.start, positions.stop - positions.start
        storage = like.new_empty(n_rows, n_pos, len(like))
        return NodeBatch(members, self.depth[members].tolist(), positions, storage)


def ordered(nodes: NodePlaces, width: Int[Tensor, " n"], *, backward: bool) -> NodeOrder:
    """Cut nodes into batches of `BATCH_CELLS` cells, and sort each by the depth of entry."""
    device, nodes, width = nodes.row.device, nodes.to("cpu"), width.cpu()
    by_width = torch.argsort(width, stable=True)
    entry = -nodes.depth if backward else nodes.depth
    batches = tuple(_cut(width[by_width]))
    members = [by_width[batch] for batch in batches]
    by_entry = [each[torch.argsort(entry[each], stable=True)] for each in members]
    order = torch.cat(by_entry) if by_entry else by_width
    found = nodes.where(order)
    row, _, pos = found.to(device)
    return NodeOrder(row, found.row, found.depth, pos, width[order], batches)


def _cut(width: Int[Tensor, " n"]) -> Iterator[slice]:
    """Runs of an ascending width whose cells, at the run's largest, fit into a batch."""
    values, counts = torch.unique_consecutive(width, return_counts=True)
    start = stop = 0
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        most = max(LEAST_ROWS, BATCH_CELLS // max(1, value))
        if stop > start and stop - start + count > most:
            yield slice(start, stop)
            start = stop
        stop += count
        while stop - start > most:
            yield slice(start, start + most)
            start += most
    if stop > start:
        yield slice(start, stop)


@dataclass
class NodeBatch:
    """Nodes that are carried together: those with dense streams, with sparse ones, not entered."""

    members: slice
    """Which nodes of the `NodeOrder`."""
    depth: list[int]
    positions: slice
    """Where they are carried."""
    storage: Float[Tensor, "row pos d_model"]
    """Room for the dense streams of all of them."""
    n_dense: int = 0
    sparse: list[SparseStream] = field(default_factory=list[SparseStream])
    """Of those that entered last, by depth of entry."""

    @property
    def n_pos(self) -> int:
        """Carried positions."""
        return self.positions.stop - self.positions.start

    @property
    def stream(self) -> Float[Tensor, "row pos d_model"]:
        """Dense streams: gradients by the residual stream (backward), or parts of it (forward)."""
        return self.storage[: self.n_dense]

    @property
    def dense(self) -> slice:
        """The members in `stream`."""
        return slice(self.members.start, self.members.start + self.n_dense)

    def sparse_streams(self) -> Iterator[tuple[slice, SparseStream]]:
        """Sparse streams, each with its members."""
        start = self.dense.stop
        for stream in self.sparse:
            yield slice(start, start + stream.n_rows), stream
            start += stream.n_rows

    @property
    def n_entered(self) -> int:
        """How many members have entered."""
        return self.n_dense + sum(stream.n_rows for stream in self.sparse)

    def entering(self, depth: int) -> slice:
        """The members that enter at a depth, the next after those that have entered."""
        start = self.members.start + self.n_entered
        return slice(start, start + self.depth.count(depth))

    def enter(self, pos: Int[Tensor, " row"], vectors: Float[Tensor, "row d_model"]) -> None:
        """Take in the next members, each with a vector at a position."""
        if len(vectors):
            self.sparse.append(sparse_stream(pos - self.positions.start, vectors, self.n_pos))

    def enter_spread(
        self, spread: Float[Tensor, "row pos"], vectors: Float[Tensor, "row d_model"]
    ) -> None:
        """Take in the next members, each with multiples of a vector at the carried positions."""
        if len(vectors):
            self.sparse.append(SparseStream(vectors[None], spread.T[:, None].contiguous()))

    def products(
        self, vectors: Float[Tensor, "n d_model"], counts: Sequence[int]
    ) -> Float[Tensor, "n row"]:
        """stream[row, pos of n] · vectors[n] for every row of `stream`.

        The vectors are in the order of their positions, `counts` of them at each.
        """
        found = vectors.new_empty(len(vectors), self.n_dense)
        by_pos = zip(vectors.split(counts), found.split(counts), strict=True)
        for stream, (some, into) in zip(self.stream.unbind(1), by_pos, strict=True):
            torch.mm(some, stream.T, out=into)
        return found

    def sums(
        self, vectors: Float[Tensor, "n d_model"], spread: Float[Tensor, "n pos"]
    ) -> Float[Tensor, "n row"]:
        """Σ_pos spread[n, pos] · stream[row, pos] · vectors[n] for every row of `stream`."""
        return torch.einsum("rpn,np->nr", self.stream @ vectors.T, spread)

    def make_costly_dense(self, n_heads: int) -> None:
        """Make the sparse streams dense for which terms no longer are cheaper."""
        while self.sparse and not self.sparse[0].is_cheaper(n_heads):
            self._make_dense(self.sparse.pop(0))

    def make_dense(self) -> None:
        """Make all streams dense."""
        while self.sparse:
            self._make_dense(self.sparse.pop(0))

    def _make_dense(self, stream: SparseStream) -> None:
        start, self.n_dense = self.n_dense, self.n_dense + stream.n_rows
        stream.write_dense(self.storage[start : self.n_dense])
