"""The activations that a dictionary learns from: of a step's windows, by one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tracer.engine.corpus.windows import Windows
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.engine.training.trainee import Activations

READS: SiteKind = "mlp_in"
WRITES: SiteKind = "mlp_out"
"""Input and output of the MLP itself: behind the norm before it, and before a norm after it."""
_MOST_BYTES = 1 << 30
"""Of the activations of a step, all layers together."""


def read_activations(
    model: Model, ids: Int[np.ndarray, "window pos"], n_prefix: int, layers: Sequence[int]
) -> Activations:
    """Inputs and outputs of the MLPs of some layers, in float32, at all tokens but the prefix.

    The special tokens in front are left out because no feature of a graph is put there: what stands
    there is the same whatever the prompt.
    """
    found: dict[Site, Tensor] = {}

    def keep(site: Site) -> Hook:
        return lambda x: found.__setitem__(site, x[:, n_prefix:].flatten(0, 1).float())

    sites = [Site(kind, layer) for kind in (READS, WRITES) for layer in layers]
    model.read(torch.from_numpy(ids).long(), [(site, keep(site)) for site in sites])

    def stacked(kind: SiteKind) -> Tensor:
        return torch.stack([found.pop(Site(kind, layer)) for layer in layers])

    return Activations(stacked(READS), stacked(WRITES))


def windows_of_step(tokens: int, window: int, d_model: int, n_layers: int) -> int:
    """How many windows a step takes: 4 to 64, for about 3,000 steps, in bounded memory."""
    wanted = max(4, min(64, round(tokens / 3000 / window)))
    room = _MOST_BYTES // (window * d_model * 4 * 2 * n_layers)
    return max(1, min(wanted, room))


def steps_of(tokens: int, windows: int, window: int) -> int:
    """How many steps take so many tokens, at least one."""
    return max(1, -(-tokens // (windows * window)))


def batches(
    windows: Windows, size: int, seed: int, steps: range
) -> Iterator[Int[np.ndarray, "window pos"]]:
    """The windows of some steps: in random order, all of them once before any comes twice."""
    reading, order = -1, np.arange(0)
    for step in steps:
        chosen: list[int] = []
        for number in range(step * size, (step + 1) * size):
            if number // len(windows) != reading:
                reading = number // len(windows)
                order = np.random.default_rng((seed, reading)).permutation(len(windows))
            chosen.append(int(order[number % len(windows)]))
        yield windows.ids[chosen]
