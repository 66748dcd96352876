"""One layer of the local replacement model: attention patterns and norm scales held as on a prompt.

With both held, all that a layer does besides its MLP is an affine map of the residual stream. Its
linear part, carried backwards, is

    dL/dx[src] += Σ_head A[head, dst, src] · dL/dx[dst] · U[head] · V[group of head]

with U and V the output and value maps of attention, the norms' weights folded into them, and A the
pattern with the norms' scales folded in. `attend` is the same map forwards; it tells whether this
is really what the model's block does.

Which parts of an attention pattern are not zero: later positions, and those out of a window.

A long prompt's pattern is taken in strips of positions, each with the span of positions that the
strip attends to (or that attend to it), as the pattern itself tells.

Travellers that have just entered: few terms each, instead of a vector at every position.

A traveller enters with one vector at one position. One pass through attention gives every head's
image of it, at all positions, in proportions that the patterns alone decide. So until the heads'
images outnumber the positions, a stream is kept as

    stream[pos, row] = Σ_term coefficients[pos, term, row] · terms[term, row]

and attention's large maps are applied to the terms only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.model.blocks import Block, Norm

STRIP = 128
"""Positions at once: fewer leave out more, and make products too small to be fast."""


class Tile(NamedTuple):
    """A strip of positions, and the span beside it outside of which all is zero."""

    strip: slice
    span: slice


def extents(reached: Bool[Tensor, "pos other"]) -> list[tuple[int, int]]:
    """By position, the first of the others that it reaches, and one past the last."""
    n = reached.shape[1]
    first = reached.int().argmax(1)
    last = n - reached.flip(1).int().argmax(1)
    return list(zip(first.tolist(), last.tolist(), strict=True))


def tiles(reach: list[tuple[int, int]], within: slice) -> list[Tile]:
    """Strips of the positions `within`, their spans cut to these positions too."""
    found: list[Tile] = []
    for start in range(within.start, within.stop, STRIP):
        stop = min(start + STRIP, within.stop)
        first = max(within.start, min(each for each, _ in reach[start:stop]))
        last = min(within.stop, max(each for _, each in reach[start:stop]))
        found.append(Tile(slice(start, stop), slice(first, max(first, last))))
    return found


def moved(span: slice, by: int) -> slice:
    """The span, its ends changed by a number of positions."""
    return slice(span.start + by, span.stop + by)


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


@dataclass(frozen=True)
class FrozenNorm:
    """A norm whose scale is held: affine in what it is given."""

    norm: Norm | None
    scale: Float[Tensor, "pos 1"]

    def __call__(self, x: Float[Tensor, "pos d_model"]) -> Float[Tensor, "pos d_model"]:
        """Forwards."""
        return self.linear(x, slice(None)) + self.bias

    def linear(
        self, x: Float[Tensor, "*batch n d_model"], pos: slice | Tensor
    ) -> Float[Tensor, "*batch n d_model"]:
        """The linear part forwards, for vectors at the given positions."""
        if self.norm is None:
            return x
        return self.norm.linear(x) / self.scale[pos]

    def back(
        self, gradient: Float[Tensor, "*batch d_model"], scale: Float[Tensor, "*#batch 1"]
    ) -> Float[Tensor, "*batch d_model"]:
        """The linear part backwards, for gradients at positions of the given scales."""
        if self.norm is None:
            return gradient
        return self.norm.back(gradient) / scale

    @property
    def bias(self) -> Tensor:
        """What it adds whatever it is given; one number 0 for nothing."""
        if self.norm is None:
            return torch.zeros(1, dtype=self.scale.dtype, device=self.scale.device)
        return self.norm.b.to(self.scale.dtype)


@dataclass(frozen=True)
class FrozenBlock:
    """A layer's attention and norms on one prompt."""

    weights: Block
    pattern: Float[Tensor, "head pos pos"]
    """[head, destination, source]."""
    before: FrozenNorm
    """Before attention."""
    after: FrozenNorm
    """After attention."""
    read: FrozenNorm
    """From the residual stream to what features read."""
    write: FrozenNorm
    """From what features write to the residual stream."""

    @property
    def is_parallel(self) -> bool:
        """Whether features read the stream before this layer's attention has added to it."""
        return self.weights.is_parallel

    def attend(self, x: Float[Tensor, "pos d_model"]) -> Float[Tensor, "pos d_model"]:
        """What attention adds to a residual stream, biases included."""
        block = self.weights
        v = torch.einsum("pd,gdk->gpk", self.before(x), block.W_V.to(x.dtype))
        if block.b_V is not None:
            v = v + block.b_V.to(x.dtype)[:, None]
        z = self.pattern @ v.repeat_interleave(self.n_shared, 0)
        out = torch.einsum("hpk,hkd->pd", z, block.W_O.to(x.dtype))
        if block.b_O is not None:
            out = out + block.b_O.to(x.dtype)
        return self.after(out)

    @property
    def attention_bias(self) -> Float[Tensor, "pos d_model"] | None:
        """What attention adds whatever it reads; None for nothing."""
        norms = [each.norm.b for each in (self.before, self.after) if each.norm is not None]
        biases = [*norms, self.weights.b_V, self.weights.b_O]
        if not any(bias is not None and bool((bias != 0).any()) for bias in biases):
            return None
        n_pos, d_model = self.pattern.shape[-1], self.weights.W_O.shape[-1]
        return self.attend(self.pattern.new_zeros(n_pos, d_model))

    @property
    def n_shared(self) -> int:
        """Query heads that share one value head."""
        return len(self.weights.W_O) // len(self.weights.W_V)

    @cached_property
    def U(self) -> Float[Tensor, "head d_head d_model"]:
        """The output map forwards, with the weight of the norm behind it."""
        norm, out = self.after.norm, self.weights.W_O.to(self.pattern.dtype)
        out = out if norm is None else norm.linear(out)
        return out.contiguous()

    @cached_property
    def U_groups(self) -> Float[Tensor, "group out d_model"]:
        """The same, the dimensions of the heads that share values in a row."""
        return self.U.view(len(self.weights.W_V), -1, self.U.shape[-1])

    @cached_property
    def V(self) -> Float[Tensor, "group d_head d_model"]:
        """The value map backwards, with the weight of the norm before it."""
        norm, value = self.before.norm, self.weights.W_V.to(self.pattern.dtype).transpose(1, 2)
        value = value if norm is None else norm.back(value)
        return value.contiguous()

    @cached_property
    def A(self) -> Float[Tensor, "group pos pos shared"]:
        """The pattern by [group, source, destination, head in group], over the norms' scales."""
        pattern = self.pattern
        if self.after.norm is not None:
            pattern = pattern / self.after.scale
        if self.before.norm is not None:
            pattern = pattern / self.before.scale.T
        grouped = pattern.unflatten(0, (-1, self.n_shared))
        return grouped.permute(0, 3, 2, 1).contiguous()

    @cached_property
    def _attended_by(self) -> list[tuple[int, int]]:
        """By source, the destinations whose attention reaches it."""
        return extents(self._reached)

    @cached_property
    def _attends_to(self) -> list[tuple[int, int]]:
        """By destination, the sources that its attention reaches."""
        return extents(self._reached.T)

    @property
    def _reached(self) -> Bool[Tensor, "source destination"]:
        """Where any head's attention goes."""
        return (self.A != 0).any(0).any(-1)

    def attend_back(
        self, gradient: Float[Tensor, "row pos d_model"], first: int
    ) -> Float[Tensor, "row fixed d_model"]:
        """Carry gradients back through attention: adds to them in place.

        Args:
            gradient: By the residual stream at positions `first`, `first` + 1, …
            first: The number of opening positions that are not carried.

        Returns:
            What arrives at the opening positions.
        """
        n_rows, n_pos, d_model = gradient.shape
        arriving = gradient.new_zeros(n_rows, first, d_model)
        if n_rows == 0:
            return arriving
        flat, here = gradient.view(-1, d_model), slice(first, first + n_pos)
        strips = tiles(self._attended_by, here)
        by_group = [flat @ U.T for U in self.U_groups]
        for A, V, z in zip(self.A, self.V, by_group, strict=True):
            of_heads = z.view(n_rows, n_pos, self.n_shared, -1)
            mixed = [
                A[strip, span].flatten(1) @ of_heads[:, moved(span, -first)].flatten(1, 2)
                for strip, span in strips
            ]
            flat.addmm_(torch.cat(mixed, 1).view(len(flat), -1), V)
            arriving += A[:first, here].flatten(1) @ of_heads.flatten(1, 2) @ V
        return arriving

    def attend_on(self, stream: Float[Tensor, "row pos d_model"], positions: slice) -> None:
        """Carry parts of the residual stream on through attention: adds to them in place.

        They stand at `positions`, which end with the prompt.
        """
        n_rows, n_pos, d_model = stream.shape
        if n_rows == 0:
            return
        flat, first = stream.view(-1, d_model), positions.start
        strips = tiles(self._attends_to, positions)
        by_group = [(flat @ V.T).view(n_rows, n_pos, -1) for V in self.V]
        for A, U, v in zip(self.A, self.U_groups, by_group, strict=True):
            mixed = [
                A[span, strip].flatten(1).T @ v[:, moved(span, -first)] for strip, span in strips
            ]
            flat.addmm_(torch.cat(mixed, 1).view(len(flat), -1), U)

    def spread_on(self, cohort: Cohort, positions: slice) -> Cohort:
        """What `attend_on` does, on a few terms."""
        v = torch.einsum("krd,ged->gkre", cohort.terms, self.V).repeat_interleave(self.n_shared, 0)
        images = v.flatten(1, 2) @ self.U
        mixed = torch.einsum(
            "gsth,skr->tghkr", self.A[:, positions, positions], cohort.coefficients
        )
        return _grown(cohort, images, mixed)

    def spread_back(
        self, cohort: Cohort, first: int
    ) -> tuple[Cohort, Float[Tensor, "row fixed d_model"]]:
        """What `attend_back` does, on a few terms: the cohort, and what the opening gets."""
        n_pos = len(cohort.coefficients)
        z = (cohort.terms.flatten(0, 1) @ self.U.mT).unflatten(0, (-1, self.n_shared))
        images = (z @ self.V[:, None]).flatten(0, 1)
        here = slice(first, first + n_pos)
        mixed = torch.einsum("gsth,tkr->sghkr", self.A[:, : here.stop, here], cohort.coefficients)
        grown = _grown(cohort, images, mixed[first:])
        n_new = len(grown.terms) - len(cohort.terms)
        fixed = mixed[:first].reshape(first, n_new, cohort.n_rows)
        arriving = fixed.permute(2, 0, 1) @ grown.terms[-n_new:].transpose(0, 1)
        return grown, arriving

    def attend_from(
        self, stands: Float[Tensor, "row fixed d_model"], to: slice
    ) -> Float[Tensor, "row pos d_model"]:
        """What attention at the positions `to` takes from what stands at the opening positions."""
        n = stands.shape[1]
        v = (stands @ self.V.flatten(0, 1).T).unflatten(-1, self.V.shape[:2])
        z = torch.einsum("gsth,fsgk->ftghk", self.A[:, :n, to], v)
        return z.flatten(2) @ self.U.flatten(0, 1)


def _grown(
    cohort: Cohort,
    images: Float[Tensor, "head cells d_model"],
    mixed: Float[Tensor, "pos group shared term row"],
) -> Cohort:
    """A cohort with every head's images of its terms, in the given proportions."""
    terms = images.reshape(-1, cohort.n_rows, images.shape[-1])
    return cohort.with_terms(terms, mixed.flatten(1, 3))
