"""The named places of a model, their hook names in TransformerLens, and the kept start of a pass.

A `Prefix` holds a clean pass's keys and values: rows that differ only later need not compute them
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

SiteKind = Literal[
    "resid_pre",
    "resid_mid",
    "ln1_scale",
    "ln1_post_scale",
    "ln2_scale",
    "ln2_normalized",
    "ln2_post_scale",
    "q_scale",
    "k_scale",
    "rotary_cos",
    "rotary_sin",
    "attn_scores",
    "pattern",
    "z",
    "attn_out",
    "mlp_in",
    "mlp_gate",
    "mlp_up",
    "mlp_hidden",
    "mlp_out",
    "mlp_resid",
    "experts",
    "resid_post",
    "final_scale",
    "unembed_in",
    "unembed_out",
]
HOOK_NAMES: dict[SiteKind, str] = {
    "resid_pre": "blocks.{layer}.hook_in",
    "resid_mid": "blocks.{layer}.hook_resid_mid",
    "ln1_scale": "blocks.{layer}.ln1.hook_scale",
    "ln1_post_scale": "blocks.{layer}.ln1_post.hook_scale",
    "ln2_scale": "blocks.{layer}.ln2.hook_scale",
    "ln2_normalized": "blocks.{layer}.ln2.hook_normalized",
    "ln2_post_scale": "blocks.{layer}.ln2_post.hook_scale",
    "q_scale": "blocks.{layer}.attn.q_norm.hook_scale",
    "k_scale": "blocks.{layer}.attn.k_norm.hook_scale",
    "rotary_cos": "blocks.{layer}.attn.hook_cos",
    "rotary_sin": "blocks.{layer}.attn.hook_sin",
    "attn_scores": "blocks.{layer}.attn.hook_attn_scores",
    "pattern": "blocks.{layer}.attn.hook_pattern",
    "z": "blocks.{layer}.attn.o.hook_in",
    "attn_out": "blocks.{layer}.attn.hook_out",
    "mlp_in": "blocks.{layer}.mlp.hook_in",
    "mlp_gate": "blocks.{layer}.mlp.gate.hook_out",
    "mlp_up": "blocks.{layer}.mlp.in.hook_out",
    "mlp_hidden": "blocks.{layer}.mlp.out.hook_in",
    "mlp_out": "blocks.{layer}.mlp.hook_out",
    "mlp_resid": "blocks.{layer}.hook_mlp_out",
    "experts": "blocks.{layer}.mlp.hook_expert_weights",
    "resid_post": "blocks.{layer}.hook_out",
    "final_scale": "ln_final.hook_scale",
    "unembed_in": "unembed.hook_in",
    "unembed_out": "unembed.hook_out",
}


class Site(NamedTuple):
    """A place in the model: a kind, and its layer (0 where it is not in one)."""

    kind: SiteKind
    layer: int


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
