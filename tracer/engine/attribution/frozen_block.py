"""One layer of the local replacement model: attention patterns and norm scales held as on a prompt.

With both held, all that a layer does besides its MLP is an affine map of the residual stream. The
linear part of its attention and the transpose of that are

    JVP (forward):   x[dst] += Σ_head,src A[head, dst, src] · U[head]ᵀ V[group of head] x[src]
    VJP (backward):  g[src] += Σ_head,dst A[head, dst, src] · V[group of head]ᵀ U[head] g[dst]

with U and V the output and value maps, the norms' weights folded in, both [d_head, d_model], and A
the pattern over the norms' scales. A long prompt's pattern is taken in strips (see `tiles`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tracer.engine.attribution.frozen_norm import FrozenNorm
from tracer.engine.attribution.node_streams import SparseStream
from tracer.engine.attribution.tiles import extents, shifted, tiles
from tracer.engine.model.blocks import Block


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
    is_biased: bool
    """Whether attention adds anything whatever it reads: biases, of norms too, that are not 0."""
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
        if not self.is_biased:
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
                A[strip, span].flatten(1) @ of_heads[:, shifted(span, n_prefix)].flatten(1, 2)
                for strip, span in strips
            ]
            flat.addmm_(torch.cat(mixed, 1).view(len(flat), -1), V)  # g[src] += Vᵀ mixed[src]
            at_prefix += A[:n_prefix, here].flatten(1) @ of_heads.flatten(1, 2) @ V
        return at_prefix

    def attend_jvp(self, stream: Float[Tensor, "row pos d_model"], positions: slice) -> None:
        """Carry parts of the residual stream forward through attention: adds to them in place.

        They stand at `positions`, which end with the prompt.
        """
        self.add_attended(stream, self.values(stream), positions)

    def values(
        self, stream: Float[Tensor, "row pos d_model"]
    ) -> list[Float[Tensor, "row pos d_head"]]:
        """Each value head's reading of parts of the stream, V x.

        The scales of the norms are not in it: they are in the pattern `A`.
        """
        return [(stream.flatten(0, 1) @ V.T).view(*stream.shape[:2], len(V)) for V in self.V]

    def add_attended(
        self,
        stream: Float[Tensor, "row pos d_model"],
        values: list[Float[Tensor, "row pos d_head"]],
        positions: slice,
    ) -> None:
        """`attend_jvp` of a stream whose `values` are known."""
        if not len(stream):
            return
        flat = stream.view(-1, stream.shape[-1])
        strips = tiles(self._attends_to, positions)
        for A, U, v in zip(self.A, self.U_groups, values, strict=True):
            # mixed[dst, head] = Σ_src A[src, dst, head] · v[src]   [row, dst · shared, d_head]
            mixed = [
                A[span, strip].flatten(1).T @ v[:, shifted(span, positions.start)]
                for strip, span in strips
            ]
            flat.addmm_(torch.cat(mixed, 1).view(len(flat), -1), U)  # x[dst] += Uᵀ mixed[dst]

    def value_gradients(
        self,
        gradient: Float[Tensor, "row pos d_model"],
        into: Float[Tensor, "group shared row pos d_head"],
    ) -> None:
        """Write the gradients by what each head reads through its values, [.., head in group, ..].

        Of head h at source position k that is Σ_dst A[h, k, dst] · U[h] g[dst]: so the sum over k
        of its products with `values` is what goes through the head.

        Args:
            gradient: By the residual stream after attention, at positions from the first one on.
            into: Where they are written.
        """
        n_rows, n_pos, d_model = gradient.shape
        flat = gradient.view(-1, d_model)
        for A, U, of_group in zip(self.A, self.U_groups, into, strict=True):
            z = (flat @ U.T).view(n_rows, n_pos, self.n_shared, into.shape[-1])
            here = A[:n_pos, :n_pos].permute(2, 0, 1).contiguous()
            for pattern, mine, found in zip(here, z.unbind(2), of_group, strict=True):
                torch.bmm(pattern.expand(n_rows, -1, -1), mine, out=found)

    def add_values_vjp(
        self,
        gradient: Float[Tensor, "row pos d_model"],
        by_values: Float[Tensor, "group shared row pos d_head"],
    ) -> None:
        """Add to gradients, in place, Σ Vᵀ (gradient by what heads read) of `value_gradients`."""
        flat = gradient.view(-1, gradient.shape[-1])
        for V, of_heads in zip(self.V, by_values.sum(1).flatten(1, 2), strict=True):
            flat.addmm_(of_heads, V)

    def value_gradients_sparse(
        self,
        stream: SparseStream,
        into: Float[Tensor, "group shared row pos d_head"],
    ) -> SparseStream:
        """`value_gradients` of sparse streams, and the streams below the layer."""
        z, mixed = self._images(stream, 0)
        # found[src, head] = Σ_term mixed[src, head, term, row] · z[head, term, row]
        by_group = z.unflatten(0, into.shape[:2]).unflatten(2, stream.terms.shape[:2])
        into.copy_(torch.einsum("sghkr,ghkre->ghrse", mixed, by_group))
        return stream.with_terms(self._through_values(z), mixed)

    def attend_vjp_sparse(
        self, stream: SparseStream, n_prefix: int
    ) -> tuple[SparseStream, Float[Tensor, "row prefix d_model"]]:
        """`attend_vjp` of sparse streams: the streams, and the gradient at the prefix."""
        _, n_terms, n_rows = stream.coefficients.shape
        z, mixed = self._images(stream, n_prefix)
        images = self._through_values(z)
        grown = stream.with_terms(images, mixed[n_prefix:])
        at_prefix = mixed[:n_prefix].reshape(n_prefix, len(self.U) * n_terms, n_rows)
        return grown, at_prefix.permute(2, 0, 1) @ grown.terms[n_terms:].transpose(0, 1)

    def _images(self, stream: SparseStream, n_prefix: int) -> tuple[Tensor, Tensor]:
        """What heads' outputs make of terms, and where heads put it: see `attend_vjp_sparse`."""
        here = slice(n_prefix, n_prefix + len(stream.coefficients))
        # z[head, term · row] = U[head] terms[term, row]
        z = stream.terms.flatten(0, 1) @ self.U.mT
        # mixed[src, head, term, row] = Σ_dst A[src, dst, head] · coefficients[dst, term, row]
        mixed = torch.einsum("gsth,tkr->sghkr", self.A[:, : here.stop, here], stream.coefficients)
        return z, mixed

    def _through_values(self, z: Float[Tensor, "head n d_head"]) -> Float[Tensor, "head n d_model"]:
        """V[group of head]ᵀ z[head]."""
        return (z.unflatten(0, (-1, self.n_shared)) @ self.V[:, None]).flatten(0, 1)

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
