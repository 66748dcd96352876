"""The named places of a model, and TransformerLens's hook name for each."""

from __future__ import annotations

from typing import Literal, NamedTuple

SiteKind = Literal[
    "resid_pre",
    "resid_mid",
    "ln1_scale",
    "ln1_post_scale",
    "ln2_scale",
    "ln2_normalized",
    "ln2_post_scale",
    "pattern",
    "attn_out",
    "mlp_in",
    "mlp_gate",
    "mlp_up",
    "mlp_hidden",
    "mlp_out",
    "mlp_resid",
    "resid_post",
    "final_scale",
    "unembed_in",
]
HOOK_NAMES: dict[SiteKind, str] = {
    "resid_pre": "blocks.{layer}.hook_in",
    "resid_mid": "blocks.{layer}.hook_resid_mid",
    "ln1_scale": "blocks.{layer}.ln1.hook_scale",
    "ln1_post_scale": "blocks.{layer}.ln1_post.hook_scale",
    "ln2_scale": "blocks.{layer}.ln2.hook_scale",
    "ln2_normalized": "blocks.{layer}.ln2.hook_normalized",
    "ln2_post_scale": "blocks.{layer}.ln2_post.hook_scale",
    "pattern": "blocks.{layer}.attn.hook_pattern",
    "attn_out": "blocks.{layer}.attn.hook_out",
    "mlp_in": "blocks.{layer}.mlp.hook_in",
    "mlp_gate": "blocks.{layer}.mlp.gate.hook_out",
    "mlp_up": "blocks.{layer}.mlp.in.hook_out",
    "mlp_hidden": "blocks.{layer}.mlp.out.hook_in",
    "mlp_out": "blocks.{layer}.mlp.hook_out",
    "mlp_resid": "blocks.{layer}.hook_mlp_out",
    "resid_post": "blocks.{layer}.hook_out",
    "final_scale": "ln_final.hook_scale",
    "unembed_in": "unembed.hook_in",
}


class Site(NamedTuple):
    """A place in the model: a kind, and its layer (0 where it is not in one)."""

    kind: SiteKind
    layer: int
