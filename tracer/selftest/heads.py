"""Attention of a planted model: one head a relation carries a fact to the sentence's end.

It looks from the relation's last word to the city, elsewhere to the first token. Queries and keys
use dimensions of a head that rotary positions turn by less than a thousandth over a sentence. All
heads attend and copy at random beside that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.selftest.directions import D_MODEL, Directions
from tracer.selftest.plan import Path, Plan
from tracer.selftest.sentences import CITY, END

N_HEADS = 4
D_HEAD = 32
ROPE_BASE = 1e6
_TO_CITY, _TO_FIRST = D_HEAD // 2 - 1, D_HEAD // 2 - 2
"""The slowest two pairs of rotary dimensions."""
_CITY_SCORE, _FIRST_SCORE = 9.0, 4.0
_RANDOM_SCORE = 0.4
"""Standard deviation of random attention scores."""
_COPIED = 2.0
"""Norm with which a copied fact arrives."""
_COPY_NOISE = 0.1
"""Random part of what a planted copy reads, in units of a random reader's."""
_CARRIES: dict[Path, tuple[str, str]] = {
    "two_hop": ("{}.value", "{}.carried"),
    "shortcut": ("{}.direct", "{}.carried"),
    "memory": ("city", "{}.recalled"),
}


class Attention(NamedTuple):
    """Weights of one layer's attention; the first three read what has passed the norm."""

    W_Q: Float[Tensor, "head d_head d_model"]
    W_K: Float[Tensor, "head d_head d_model"]
    W_V: Float[Tensor, "head d_head d_model"]
    W_O: Float[Tensor, "head d_model d_head"]


def layer_attention(
    plan: Plan,
    layer: int,
    directions: Directions,
    x: Float[Tensor, "row pos d_model"],
    generator: torch.Generator,
) -> Attention:
    """Random heads, and a planted one for each relation; `x` is what they see on the sentences."""
    attention = _random(plan, directions, generator)
    for relation, wiring in enumerate(plan.wirings):
        if wiring.move == layer:
            rows = x.unflatten(0, (len(plan.wirings), -1))[relation]
            _plant_look(attention, relation, directions, rows)
            _plant_copy(attention, relation, wiring.path, directions, rows)
    return attention


def _random(plan: Plan, directions: Directions, generator: torch.Generator) -> Attention:
    readers = directions.random_readers(3 * N_HEADS * D_HEAD, generator)
    W_Q, W_K, W_V = readers.view(3, N_HEADS, D_HEAD, D_MODEL)
    W_O = torch.randn(N_HEADS, D_MODEL, D_HEAD, generator=generator)
    out = plan.nuisance * (D_MODEL * D_HEAD * N_HEADS) ** -0.5
    return Attention(W_Q * math.sqrt(_RANDOM_SCORE), W_K * math.sqrt(_RANDOM_SCORE), W_V, W_O * out)


def _plant_look(
    attention: Attention, head: int, directions: Directions, x: Float[Tensor, "row pos d_model"]
) -> None:
    """Scores: the city from the relation's end, and from everywhere, less, the first token."""
    asks_city, is_city = directions[f"{head}.is_end"][0], directions["is_city"][0]
    one, is_first = directions["one"][0], directions["is_bos"][0]
    for dim, query, key, at, score in (
        (_TO_CITY, asks_city, is_city, (END, CITY), _CITY_SCORE),
        (_TO_FIRST, one, is_first, (END, 0), _FIRST_SCORE),
    ):
        strength = float((x[:, at[0]] @ query).mean() * (x[:, at[1]] @ key).mean())
        half = math.sqrt(score * math.sqrt(D_HEAD) / strength)
        attention.W_Q[head, dim] += half * query
        attention.W_K[head, dim] += half * key


def _plant_copy(
    attention: Attention,
    head: int,
    path: Path,
    directions: Directions,
    x: Float[Tensor, "row pos d_model"],
) -> None:
    """From what the path reads at the city to what it has at the end, each direction by itself."""
    read, write = (directions[name.format(head)] for name in _CARRIES[path])
    present = float((x[:, CITY] @ read.T).max(dim=1).values.mean())
    attention.W_V[head, : len(read)] *= _COPY_NOISE
    attention.W_V[head, : len(read)] += _COPIED * read / present
    attention.W_O[head, :, : len(write)] += write.T
