"""Travellers that have just entered: few terms each, instead of a vector at every position.

A traveller enters with one vector at one position. One pass through attention gives every head's
image of it, at all positions, in proportions that the patterns alone decide. So until the heads'
images outnumber the positions, a stream is kept as

    stream[pos, row] = Σ_term coefficients[pos, term, row] · terms[term, row]

and attention's large maps are applied to the terms only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Cohort:
    """Travellers of one chunk that entered at the same layer."""

    terms: Float[Tensor, "term row d_model"]
    coefficients: Float[Tensor, "pos term row"]

    @property
    def n_rows(self) -> int:
        """How many travellers."""
        return self.terms.shape[1]

    def pays(self, n_heads: int) -> bool:
        """Whether one more pass is cheaper on terms than on positions."""
        n_pos, n_terms, _ = self.coefficients.shape
        return n_terms * (1 + n_heads) <= n_pos

    def fill(self, stream: Float[Tensor, "row pos d_model"]) -> None:
        """Write the stream at every position."""
        torch.bmm(self.coefficients.permute(2, 0, 1), self.terms.transpose(0, 1), out=stream)

    def meet(
        self, at: Int[Tensor, " n"], vectors: Float[Tensor, "n d_model"]
    ) -> Float[Tensor, "n row"]:
        """Products of the stream with vectors, each at its position."""
        products = self.terms @ vectors.T
        return torch.einsum("krn,nkr->nr", products, self.coefficients[at])

    def with_terms(
        self, terms: Float[Tensor, "more row d_model"], coefficients: Float[Tensor, "pos more row"]
    ) -> Cohort:
        """The same travellers with more in their streams."""
        return Cohort(
            torch.cat([self.terms, terms]), torch.cat([self.coefficients, coefficients], 1)
        )

    def with_writes(
        self,
        row: Int[Tensor, " n"],
        at: Int[Tensor, " n"],
        vectors: Float[Tensor, "n d_model"],
    ) -> Cohort:
        """One vector more for some of them, at a position."""
        if not len(row):
            return self
        terms = torch.zeros_like(self.terms[:1])
        coefficients = torch.zeros_like(self.coefficients[:, :1])
        terms[0, row] = vectors
        coefficients[at, 0, row] = 1.0
        return self.with_terms(terms, coefficients)


def entering(at: Int[Tensor, " row"], vectors: Float[Tensor, "row d_model"], n_pos: int) -> Cohort:
    """Travellers with one vector each, at one position."""
    coefficients = vectors.new_zeros(n_pos, 1, len(vectors))
    coefficients[at, 0, torch.arange(len(vectors), device=at.device)] = 1.0
    return Cohort(vectors[None], coefficients)
