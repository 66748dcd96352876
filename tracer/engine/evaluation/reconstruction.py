"""MLP outputs as a basis makes them, on whole texts: looked at, or put in the MLPs' place.

What a basis makes of a layer's output is

    Σ_s a_s · W_dec[s → layer] + b_dec + W_skip x

over the features s of this and, in a cross-layer set, of earlier layers, with activations a and the
input x as they are in the same pass: where earlier MLPs are replaced, features read what became of
the stream. At the special tokens that a text begins with, the MLPs stay as they are, as in the
replacement model of a graph (`tracer.engine.attribution.frozen`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Hook
from tracer.engine.model.sites import Site
from tracer.errors import ModelUnavailable

CELLS = 1 << 24
"""Activations (tokens × features) held at once."""
_CHUNK = 8192
"""Features whose decoder rows are held at once."""
UseOutput = Callable[[int, Tensor, Tensor], Tensor | None]
"""Is given a layer, the output of its MLP `[n, d_model]` and what the basis makes of it; what it
returns, if anything, takes the output's place."""
SeeActivations = Callable[[int, Tensor], None]
"""Is given a layer and activations `[n, feature]` at some tokens, each token once."""


def reconstructing(
    basis: FeatureBasis,
    layers: Collection[int],
    first: int,
    use: UseOutput,
    see: SeeActivations | None = None,
) -> list[tuple[Site, Hook]]:
    """Hooks that reconstruct the outputs of some layers.

    Args:
        basis: What reconstructs them.
        layers: Whose outputs are reconstructed.
        first: The position from which on they are; before it nothing is seen or replaced.
        use: Called with the outputs from there on, prompt by prompt.
        see: Called with the activations that are made on the way.
    """
    found = _Reconstruction(basis, layers, first, use, see)
    return [pair for layer in range(basis.n_layers) for pair in found.hooks(layer)]


@dataclass(frozen=True)
class _Reconstruction:
    """One pass: what has been made so far of outputs that are yet to come."""

    basis: FeatureBasis
    layers: Collection[int]
    first: int
    use: UseOutput
    see: SeeActivations | None
    made: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    """By layer."""

    def hooks(self, layer: int) -> Iterator[tuple[Site, Hook]]:
        """In the order in which they are called where a site has several."""
        basis = self.basis
        if any(to in self.layers for to in basis.write_layers(layer)):
            yield basis.read_site(layer), partial(self._encode, layer)
        if layer in self.layers:
            if basis.W_skip(layer) is not None:
                yield basis.input_site(layer), partial(self._skip, layer)
            yield basis.output_site(layer), partial(self._give, layer)

    def _encode(self, layer: int, x: Tensor) -> None:
        read = _after(x, self.first)
        at_once = max(1, CELLS // self.basis.n_features(layer))
        for start in range(0, len(read), at_once):
            rows = slice(start, start + at_once)
            activations = self.basis.encode(layer, read[rows])
            if self.see is not None:
                self.see(layer, activations)
            for to in self.basis.write_layers(layer):
                if to in self.layers:
                    part = written(self.basis, layer, activations, to)
                    self._sum(to, len(read), part)[rows] += part

    def _skip(self, layer: int, x: Tensor) -> None:
        read, W_skip = _after(x, self.first), self.basis.W_skip(layer)
        assert W_skip is not None
        part = read @ W_skip.to(read.dtype).T
        self._sum(layer, len(read), part).add_(part)

    def _sum(self, layer: int, n: int, like: Tensor) -> Float[Tensor, "n d_model"]:
        if layer not in self.made:
            zeros = like.new_zeros(n, like.shape[-1], dtype=summed(like.dtype))
            self.made[layer] = zeros
        return self.made[layer]

    def _give(self, layer: int, x: Tensor) -> Tensor | None:
        found = self.made.pop(layer)
        if (b_dec := self.basis.b_dec(layer)) is not None:
            found = found + b_dec.to(found.dtype)
        put = self.use(layer, _after(x, self.first), found)
        if put is None:
            return None
        return torch.cat([x[:, : self.first], put.to(x.dtype).view(len(x), -1, x.shape[-1])], 1)


def written(
    basis: FeatureBasis, layer: int, activations: Float[Tensor, "n feature"], to: int
) -> Float[Tensor, "n d_model"]:
    """What activations of all a layer's features write at layer `to`'s output site.

    Products are taken in the activations' type, and added up in float32 at least.
    """
    total: Tensor | None = None
    used = (activations != 0).any(0).nonzero()[:, 0]
    for index in used.split(_CHUNK):
        W_dec = basis.W_dec(layer, index, to).to(activations.dtype)
        part = (activations[:, index] @ W_dec).to(summed(activations.dtype))
        total = part if total is None else total + part
    assert total is not None  # an empty tensor splits into one empty part
    return total


def summed(dtype: torch.dtype) -> torch.dtype:
    """What sums are taken in: float32, or float64 where the model computes in it."""
    return torch.promote_types(dtype, torch.float32)


def _after(x: Tensor, first: int) -> Float[Tensor, "n d"]:
    """What stands from a position on, prompt by prompt.

    Raises:
        ModelUnavailable: The site has no axis of its own for positions.
    """
    if x.ndim != 3:
        raise ModelUnavailable(
            "its MLPs cannot be reconstructed, because the model's architecture hands them tokens "
            "without an axis of their own for positions."
        )
    return x[:, first:].flatten(0, 1)
