"""Where targets and sources meet: the layer that makes the least work.

Targets of the layers above the meeting are carried down to it, sources of the layers below it up.
An edge is found where a traveller passes the other end's layer, or, for a target from above and a
source from below, as one product of the two streams at the meeting. With half of the nodes on each
side and all positions alike, that halves the layers that are travelled; and where features crowd at
a prompt's end, sources from below are carried at few positions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.replacement.features import Chosen
from tracer.replacement.state import Frozen

BUDGET = 1 << 30
"""Bytes for the streams that are held at once; the edge matrix itself comes on top."""


class Nodes(NamedTuple):
    """Layer, position and row of targets, or of sources."""

    row: Int[Tensor, " n"]
    layer: Int[Tensor, " n"]
    pos: Int[Tensor, " n"]

    def where(self, mask: Tensor) -> Nodes:
        """Some of them."""
        return Nodes(self.row[mask], self.layer[mask], self.pos[mask])


def target_nodes(frozen: Frozen, chosen: Chosen, n_logits: int) -> Nodes:
    """Features, then logits, which read after the last layer."""
    table = chosen.table()
    ends = torch.tensor([[frozen.n_layers, frozen.n_pos - 1]] * n_logits, device=frozen.device)
    places = torch.cat([table[:, :2], ends.view(-1, 2)])
    return Nodes(torch.arange(len(places), device=frozen.device), places[:, 0], places[:, 1])


def source_nodes(frozen: Frozen, chosen: Chosen) -> Nodes:
    """Features, errors, and the tokens that are carried, which write before the first layer."""
    carried = torch.arange(frozen.n_fixed, frozen.n_pos, device=frozen.device)
    layers = torch.arange(frozen.n_layers, device=frozen.device)
    places = torch.cat(
        [
            chosen.table()[:, :2],
            torch.cartesian_prod(layers, carried),
            torch.stack([torch.full_like(carried, -1), carried], 1),
        ]
    )
    row = torch.arange(len(places), device=frozen.device)
    row[len(places) - len(carried) :] += frozen.n_fixed
    return Nodes(row, places[:, 0], places[:, 1])


def meeting_layer(frozen: Frozen, targets: Nodes, sources: Nodes) -> int:
    """The layer before whose block they meet; 0 carries everything down."""
    d_model = frozen.resid_post.numel()
    weights = frozen.blocks[0].weights
    carry = 2.0 * d_model * weights.W_O.shape[1] * (len(weights.W_O) + len(weights.W_V))
    size = d_model * frozen.resid_post.element_size()
    best = (float("inf"), 0)
    for layer in range(frozen.n_layers + 1):
        down, up = _down(frozen, targets, layer), _up(frozen, sources, layer)
        if layer and float(up.widths.sum()) * size > BUDGET / 2:
            break
        work = carry * (down.travelled + up.travelled)
        work += 2.0 * d_model * _overlap(frozen, down, up) if layer else 0.0
        best = min(best, (work, layer))
    return best[1]


class _Travel(NamedTuple):
    travelled: float
    """Layers × positions, over all."""
    widths: Float[Tensor, " pos"]
    """Number of travellers at each position, as they meet."""


def _down(frozen: Frozen, targets: Nodes, layer: int) -> _Travel:
    mine = targets.layer >= layer
    width = targets.pos[mine] + 1 - frozen.n_fixed
    steps = _whole((targets.layer + 1).clamp_max(frozen.n_layers)[mine] - layer, width, frozen)
    at = torch.bincount(targets.pos[mine], minlength=frozen.n_pos).double()
    return _Travel(float((steps * width).sum()), at.flip(0).cumsum(0).flip(0))


def _up(frozen: Frozen, sources: Nodes, layer: int) -> _Travel:
    mine = sources.layer < layer
    width = frozen.n_pos - sources.pos[mine]
    steps = _whole(layer - 1 - sources.layer[mine], width, frozen)
    travelled = float((steps * width).sum())
    at = torch.bincount(sources.pos[mine], minlength=frozen.n_pos).double()
    return _Travel(travelled, at.cumsum(0))


def _whole(steps: Tensor, width: Tensor, frozen: Frozen) -> Tensor:
    """Layers that are passed with a whole stream: the first ones cost little, see `Cohort`."""
    return (steps - young_passes(width, len(frozen.blocks[0].weights.W_O))).clamp_min(0)


def young_passes(width: Int[Tensor, " n"], n_heads: int) -> Int[Tensor, " n"]:
    """Passes through attention that `Cohort` makes on terms, for travellers of such widths."""
    passes, n_terms = torch.zeros_like(width), 1 + n_heads
    while bool((n_terms <= width).any()):
        passes += n_terms <= width
        n_terms *= 1 + n_heads
    return passes


def _overlap(frozen: Frozen, down: _Travel, up: _Travel) -> float:
    return float((down.widths * up.widths)[frozen.n_fixed :].sum())
