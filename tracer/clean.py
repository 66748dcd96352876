"""A prompt as the model runs it unclamped: what every clamp starts from and is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.features.basis import FeatureBasis
from tracer.model.model import Hook, Model, Site
from tracer.model.prefix import Prefix
from tracer.tokens import TokenizedPrompt


@dataclass(frozen=True)
class CleanRun:
    """One prompt's clean pass: last logits, keys and values, and feature activations."""

    prompt: TokenizedPrompt
    ids: Int[Tensor, " pos"]
    logits: Float[Tensor, " vocab"]
    prefix: Prefix
    positions: tuple[int, ...]
    activations: tuple[Float[Tensor, "_ feature"], ...]
    """Per layer, at `positions` only."""

    def activation(self, layer: int, pos: int) -> Float[Tensor, " feature"]:
        """All of a layer's activations at a kept position."""
        return self.activations[layer][self.positions.index(pos)]


def clean_run(
    model: Model, basis: FeatureBasis, prompt: TokenizedPrompt, positions: Iterable[int]
) -> CleanRun:
    """Run a prompt unclamped and keep its features at `positions`."""
    kept = tuple(sorted(set(positions)))
    seen: dict[int, Tensor] = {}

    def keep(layer: int) -> Hook:
        return lambda x: seen.__setitem__(layer, basis.encode(layer, x[0, list(kept)]))

    ids = torch.tensor(prompt.ids)
    sites: list[tuple[Site, Hook]] = [
        (basis.read_site(layer), keep(layer)) for layer in range(basis.n_layers)
    ]
    logits, prefix = model.clean(ids, sites)
    activations = tuple(seen[layer] for layer in range(basis.n_layers))
    return CleanRun(prompt, ids, logits, prefix, kept, activations)
