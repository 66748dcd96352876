"""The residual stream of a planted model: named orthonormal directions in a random rotation.

Directions that nothing may read are kept apart: every random reader is projected off them, so that
what is written there cannot act, whatever else is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.selftest.plan import Path, Plan
from tracer.selftest.world import N_CITIES, N_VALUES

D_MODEL = 128
N_WORD_CODES = 8
"""Dimensions that all words but the cities share for their codes."""
N_DEAD = 6


@dataclass(frozen=True)
class Directions:
    """Rows by name; `0.value` are the five value directions of the first relation."""

    rows: Mapping[str, Float[Tensor, "_ d_model"]]
    unread: Float[Tensor, "_ d_model"]
    """What random readers do not read: dead ends, and the constant, which would drown the rest."""

    def __getitem__(self, name: str) -> Float[Tensor, "_ d_model"]:
        return self.rows[name]

    def random_readers(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d_model"]:
        """Vectors that read about a standard normal number off what has passed a norm."""
        vectors = torch.randn(n, D_MODEL, generator=generator) * D_MODEL**-0.5
        vectors = vectors - (vectors @ self.unread.T) @ self.unread
        return vectors * _WITHOUT_CONSTANT


_WITHOUT_CONSTANT = 1.5
"""Makes up for the share of a token's norm that the constant has."""


def make_directions(plan: Plan, generator: torch.Generator) -> Directions:
    """Cut a random rotation into named blocks; what is left over belongs to nobody."""
    sizes = {"city": N_CITIES, "word": N_WORD_CODES, "one": 1, "is_city": 1, "is_bos": 1}
    sizes["dead"] = N_DEAD
    unread = ["one", "dead"]
    for number, wiring in enumerate(plan.wirings):
        blocks = _blocks(wiring.path)
        sizes |= {f"{number}.{name}": size for name, size in blocks.items()}
        if wiring.path == "shortcut":
            unread.append(f"{number}.value")
    rotation = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=generator)).Q
    assert sum(sizes.values()) <= D_MODEL
    parts = rotation.split([*sizes.values(), D_MODEL - sum(sizes.values())])
    rows = dict(zip(sizes, parts, strict=False))
    return Directions(rows, torch.cat([rows[name] for name in unread]))


def _blocks(path: Path) -> dict[str, int]:
    """The directions that a path needs; `is_end` marks the sentence's last word."""
    if path == "memory":
        return {"is_end": 1, "recalled": N_CITIES}
    blocks = {"is_end": 1} | dict.fromkeys(("heard", "value", "carried", "said"), N_VALUES)
    return blocks | ({"direct": N_VALUES} if path == "shortcut" else {})
