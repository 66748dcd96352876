"""One layer of the local replacement model: attention patterns and norm scales held as on a prompt.

With both held, all that a layer does besides its MLP is an affine map of the residual stream. The
linear part of its attention and the transpose of that are

    JVP (forward):   x[dst] += Σ_head,src A[head, dst, src] · U[head]ᵀ V[group of head] x[src]
    VJP (backward):  g[src] += Σ_head,dst A[head, dst, src] · V[group of head]ᵀ U[head] g[dst]

with U and V the output and value maps, the norms' weights folded in, both [d_head, d_model], and A
the pattern over the norms' scales. A long prompt's pattern is taken in strips of positions, each
with the span of positions beside it outside of which the pattern is zero (causal mask, windows).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracer.engine.attribution.frozen_norm import FrozenNorm
from tracer.engine.attribution.node_streams import SparseStream
from tracer.engine.model.blocks import Block

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


def _shifted(span: slice, by: int) -> slice:
    return slice(span.start - by, span.stop - by)


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
    """From the residual stream to the features' input site."""
    write: FrozenNorm
    """From the features' output site to the residual stream."""
    cut: Bool[Tensor, "head pos"] | None = None
    """Heads at positions that are nodes of a graph: they pass nothing on; None where none is."""

    @property
    def is_parallel(self) -> bool:
        """Whether features read the stream before this layer's attention has added to it."""
        return self.weights.is_parallel

    @property
    def n_shared(self) -> int:
        """Query heads that share one value head."""
        return len(self.weights.W_O) // len(self.weights.W_V)

    def z(self, x: Float[Tensor, "pos d_model"]) -> Float[Tensor, "head pos d_head"]:
        """What every head reads of a residual stream, biases of values included."""
        block = self.weights
        v = torch.einsum("pd,gdk->gpk", self.before(x), block.W_V.to(x.dtype))
        if block.b_V is not None:
            v = v + block.b_V.to(x.dtype)[:, None]
        return self.pattern @ v.repeat_interleave(self.n_shared, 0)

    def attend(self, x: Float[Tensor, "pos d_model"]) -> Float[Tensor, "pos d_model"]:
        """What attention passes on to a residual stream, biases included."""
        block, z = self.weights, self.z(x)
        if self.cut is not None:
            z = z.masked_fill(self.cut[..., None], 0)
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

    @cached_property
    def U(self) -> Float[Tensor, "head d_head d_model"]:
        """The output map, times the weight of the norm behind it."""
        norm, out = self.after.norm, self.weights.W_O.to(self.pattern.dtype)
        return (out if norm is None else norm.linear(out)).contiguous()

    @cached_property
    def U_groups(self) -> Float[Tensor, "group out d_model"]:
        """`U` by group: [group, head in group × d_head, d_model]."""
        return self.U.view(len(self.weights.W_V), -1, self.U.shape[-1])

    @cached_property
    def V(self) -> Float[Tensor, "group d_head d_model"]:
        """The value map, transposed, times the weight of the norm before it."""
        norm, value = self.before.norm, self.weights.W_V.to(self.pattern.dtype).transpose(1, 2)
        return (value if norm is None else norm.back(value)).contiguous()

    @property
    def scaled_pattern(self) -> Float[Tensor, "head pos pos"]:
        """[head, destination, source], over the norms' scales."""
        pattern = self.pattern
        if self.after.norm is not None:
            pattern = pattern / self.after.scale
        if self.before.norm is not None:
            pattern = pattern / self.before.scale.T
        return pattern

    @cached_property
    def A(self) -> Float[Tensor, "group pos pos shared"]:
        """What passes on, [group, source, destination, head in group], over the norms' scales."""
        pattern = self.scaled_pattern
        if self.cut is not None:
            pattern = pattern.masked_fill(self.cut[..., None], 0)
        grouped = pattern.unflatten(0, (-1, self.n_shared))
        return grouped.permute(0, 3, 2, 1).contiguous()

    @cached_property
    def _attended_by(self) -> list[tuple[int, int]]:
        """By source, the extent of the destinations that attend to it."""
        return extents((self.A != 0).any(0).any(-1))

    @cached_property
    def _attends_to(self) -> list[tuple[int, int]]:
        """By destination, the extent of the sources that it attends to."""
        return extents((self.A != 0).any(0).any(-1).T)

    def attend_vjp(
        self, gradient: Float[Tensor, "row pos d_model"], n_prefix: int
    ) -> Float[Tensor, "row prefix d_model"]:
        """Carry gradients back through attention: adds to them in place.

        Args:
            gradient: By the residual stream at positions `n_prefix`, `n_prefix` + 1, …
            n_prefix: The length of the special-token prefix, which is not carried.

        Returns:
            The gradient by the stream at the prefix's positions.
        """
        n_rows, n_pos, d_model = gradient.shape
        at_prefix = gradient.new_zeros(n_rows, n_prefix, d_model)
        if n_rows == 0:
            return at_prefix
        flat, here = gradient.view(-1, d_model), slice(n_prefix, n_prefix + n_pos)
        strips = tiles(self._attended_by, here)
        # z[dst] = U g[dst]   [row · dst, shared · d_head], before anything is added to g
        by_group = [flat @ U.T for U in self.U_groups]
        for A, V, z in zip(self.A, self.V, by_group, strict=True):
            of_heads = z.view(n_rows, n_pos, self.n_shared, -1)
            # mixed[src] = Σ_dst,head A[src, dst, head] · z[dst, head]   [row, src, d_head]
            mixed = [
                A[strip, span].flatten(1) @ of_heads[:, _shifted(span, n_prefix)].flatten(1, 2)
                for strip, span in strips
            ]
            flat.addmm_(torch.cat(mixed, 1).view(len(flat), -1), V)  # g[src] += Vᵀ mixed[src]
            at_prefix += A[:n_prefix, here].flatten(1) @ of_heads.flatten(1, 2) @ V
        return at_prefix

    def attend_jvp(self, stream: Float[Tensor, "row pos d_model"], positions: slice) -> None:
        """Carry parts of the residual stream forward through attention: adds to them in place.

        They stand at `positions`, which end with the prompt.
        """
        n_rows, n_pos, d_model = stream.shape
        if n_rows == 0:
            return
        flat = stream.view(-1, d_model)
        strips = tiles(self._attends_to, positions)
        # v[src] = V x[src]   [row, src, d_head], before anything is added to x
        by_group = [(flat @ V.T).view(n_rows, n_pos, -1) for V in self.V]
        for A, U, v in zip(self.A, self.U_groups, by_group, strict=True):
            # mixed[dst, head] = Σ_src A[src, dst, head] · v[src]   [row, dst · shared, d_head]
            mixed = [
                A[span, strip].flatten(1).T @ v[:, _shifted(span, positions.start)]
                for strip, span in strips
            ]
            flat.addmm_(torch.cat(mixed, 1).view(len(flat), -1), U)  # x[dst] += Uᵀ mixed[dst]

    def values(self, stream: Float[Tensor, "row pos d_model"]) -> list[Float[Tensor, "_ _"]]:
        """Each value head's reading of parts of the stream, V x, as [row, pos · d_head].

        The scales of the norms are not in it: they are in the pattern `A`.
        """
        return [(stream @ V.T).flatten(1) for V in self.V]

    def value_gradients(
        self, gradient: Float[Tensor, "row pos d_model"]
    ) -> Float[Tensor, "group shared row _"]:
        """Gradients by what each head reads through its values, from those by its layer's output.

        Of head h at source position k that is Σ_dst A[h, k, dst] · U[h] g[dst]: so the sum over k
        of its products with `values` is what goes through the head. As
        [group, head in group, row, pos · d_head].

        Args:
            gradient: By the residual stream at the positions from the first one on.
        """
        n_pos = gradient.shape[1]
        found: list[Tensor] = []
        for A, U in zip(self.A, self.U_groups, strict=True):
            z = (gradient @ U.T).unflatten(-1, (self.n_shared, -1))
            mixed = torch.einsum("kqh,rqhe->hrke", A[:n_pos, :n_pos], z)
            found.append(mixed.flatten(2))
        return torch.stack(found)

    def values_vjp(
        self, gradients: Float[Tensor, "group shared row _"]
    ) -> Float[Tensor, "row pos d_model"]:
        """Gradients by the residual stream from those by what heads read: Σ Vᵀ gradient."""
        by_group = gradients.sum(1).unflatten(-1, (-1, self.V.shape[1]))
        return torch.einsum("grpe,ged->rpd", by_group, self.V)

    def attend_vjp_sparse(
        self, stream: SparseStream, n_prefix: int
    ) -> tuple[SparseStream, Float[Tensor, "row prefix d_model"]]:
        """`attend_vjp` of sparse streams: the streams, and the gradient at the prefix."""
        n_pos, n_terms, n_rows = stream.coefficients.shape
        here = slice(n_prefix, n_prefix + n_pos)
        # images[head, term, row] = V[group of head]ᵀ U[head] terms[term, row]
        z = (stream.terms.flatten(0, 1) @ self.U.mT).unflatten(0, (-1, self.n_shared))
        images = (z @ self.V[:, None]).flatten(0, 1)
        # mixed[src, head, term, row] = Σ_dst A[src, dst, head] · coefficients[dst, term, row]
        mixed = torch.einsum("gsth,tkr->sghkr", self.A[:, : here.stop, here], stream.coefficients)
        grown = stream.with_terms(images, mixed[n_prefix:])
        at_prefix = mixed[:n_prefix].reshape(n_prefix, len(self.U) * n_terms, n_rows)
        return grown, at_prefix.permute(2, 0, 1) @ grown.terms[n_terms:].transpose(0, 1)

    def attend_jvp_sparse(self, stream: SparseStream, positions: slice) -> SparseStream:
        """`attend_jvp` of sparse streams."""
        # images[head, term, row] = U[head]ᵀ V[group of head] terms[term, row]
        v = torch.einsum("krd,ged->gkre", stream.terms, self.V).repeat_interleave(self.n_shared, 0)
        images = v.flatten(1, 2) @ self.U
        # mixed[dst, head, term, row] = Σ_src A[src, dst, head] · coefficients[src, term, row]
        A = self.A[:, positions, positions]
        mixed = torch.einsum("gsth,skr->tghkr", A, stream.coefficients)
        return stream.with_terms(images, mixed)

    def attend_from_prefix(
        self, stream: Float[Tensor, "row prefix d_model"], to: slice
    ) -> Float[Tensor, "row pos d_model"]:
        """What attention at the positions `to` takes from the special-token prefix."""
        n = stream.shape[1]
        # out[dst] = Σ_head U[head]ᵀ Σ_src A[src, dst, head] · V[group of head] stream[src]
        v = (stream @ self.V.flatten(0, 1).T).unflatten(-1, self.V.shape[:2])
        z = torch.einsum("gsth,fsgk->ftghk", self.A[:, :n, to], v)
        return z.flatten(2) @ self.U.flatten(0, 1)
