"""Keys and values of a clean pass: what rows that differ only later need not compute again."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a clean pass, one pair per layer, each `[1, head, pos, d_head]`."""

    keys: tuple[Float[Tensor, "1 head pos d_head"], ...]
    values: tuple[Float[Tensor, "1 head pos d_head"], ...]

    def until(self, pos: int) -> Prefix:
        """The part before position `pos`."""
        return Prefix(
            tuple(k[:, :, :pos] for k in self.keys), tuple(v[:, :, :pos] for v in self.values)
        )


def cache_of(prefix: Prefix, rows: int, rows_from: int) -> DynamicCache:
    """A cache whose layers from `rows_from` on hold a prefix per row, without copying it."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(prefix.keys, prefix.values, strict=True)):
        n = rows if layer >= rows_from else 1
        entry = DynamicLayer()
        entry.lazy_initialization(keys, values)
        entry.keys, entry.values = keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1)
        cache.layers.append(entry)
    return cache
