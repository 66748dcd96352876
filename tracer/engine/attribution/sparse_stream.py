"""Streams of nodes that have just entered a pass, as sums of few vectors.

A node enters with one vector at one position. A pass through attention adds every head's image of
it, spread over the positions in proportions that the frozen patterns alone decide. While the images
are fewer than the positions, the stream of a node is kept as

    stream[row, pos] = Σ_term coefficients[pos, term, row] · terms[term, row]    [row, pos, d_model]

and attention's value and output maps are applied to the terms only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class SparseStream:
    """The streams of nodes that entered at the same layer."""

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
        self, row: Int[Tensor, " n"], at: Int[Tensor, " n"], vectors: Float[Tensor, "n d_model"]
    ) -> SparseStream:
        """One vector more for some of the nodes, each at one position."""
        if not len(row):
            return self
        terms = torch.zeros_like(self.terms[:1])
        coefficients = torch.zeros_like(self.coefficients[:, :1])
        terms[0, row] = vectors
        coefficients[at, 0, row] = 1.0
        return self.with_terms(terms, coefficients)


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
