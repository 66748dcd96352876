"""What a clamped pass holds as it was: the freeze modes, and whether a model allows them.

`none` holds nothing; `attention` every pattern as in the clean pass; `all` also every norm scale
and every MLP's output as in the clean pass (minus the skip path of a basis that has one). Then only
the clamped features' direct paths are left, as in the attribution graph: the effect on the logits
is linear in the clamps, and the features that are read show what reaches them directly. `residual`,
which no file asks for, holds attention's outputs too: what is left is what the clamps write to the
logits themselves, along the residual stream of the last token.

Where TransformerLens leaves attention to Hugging Face (GPT-J, GPT-Neo), the hook on a pattern comes
too late and does nothing; a norm without weights (OLMo's) breaks when its scale is set. Whether a
model is like that is found by trying, on two tokens, once for each model. What needs patterns alone
is not refused for a model's norms.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.errors import ModelUnavailable

Freeze = Literal["none", "attention", "all", "residual"]
LINEAR: tuple[Freeze, ...] = ("all", "residual")
"""Modes in which nothing but the clamps changes what is written."""


class Holdable(NamedTuple):
    """What hooks can set of a model."""

    patterns: bool
    scales: bool
    """Of the norms."""


_TRIED: WeakKeyDictionary[Model, Holdable] = WeakKeyDictionary()


def held_hooks(
    model: Model, basis: FeatureBasis, clean: CleanRun, start: int, freeze: Freeze
) -> list[tuple[Site, Hook]]:
    """Hooks that hold a clean pass's values at every site the mode freezes.

    Raises:
        ModelUnavailable: Its patterns or norm scales cannot be held.
    """
    if freeze == "none":
        return []
    require = require_patterns if freeze == "attention" else require_freezable
    require(model, f"freeze: {freeze}")
    held_of_attention: SiteKind = "attn_out" if freeze == "residual" else "pattern"
    sites = [Site(held_of_attention, layer) for layer in range(model.n_layers)]
    inputs: list[Site] = []
    if freeze in LINEAR:
        sites += [Site("mlp_out", layer) for layer in range(model.n_layers)]
        sites += model.scale_sites
        inputs += [basis.input_site(n) for n in range(basis.n_layers) if _skips(basis, n)]
    held: dict[Site, Tensor] = {}
    prefix = clean.prefix.until(start)

    def keep(site: Site) -> Hook:
        return lambda x: held.__setitem__(site, x)

    def hold(site: Site) -> Hook:
        return lambda x: held[site].expand_as(x)

    watched = [*sites, *inputs]
    model.forward(clean.ids[start:], [(site, keep(site)) for site in watched], prefix=prefix)
    skips = [hook for site in inputs for hook in _skip_hooks(basis, site, held[site])]
    return [*((site, hold(site)) for site in sites), *skips]


def _skips(basis: FeatureBasis, layer: int) -> bool:
    return basis.W_skip(layer) is not None


def _skip_hooks(basis: FeatureBasis, site: Site, clean: Tensor) -> list[tuple[Site, Hook]]:
    """The skip path of a layer whose output is held: it stays linear in what the layer reads."""
    W_skip = basis.W_skip(site.layer)
    assert W_skip is not None
    moved: dict[str, Tensor] = {}

    def see(x: Tensor) -> None:
        moved["by"] = x - clean

    def add(x: Tensor) -> Tensor:
        return x + moved.pop("by") @ W_skip.to(x.dtype).T

    return [(site, see), (basis.output_site(site.layer), add)]


def require_freezable(model: Model, purpose: str) -> None:
    """Refuse a model whose patterns or norm scales hooks cannot set.

    Raises:
        ModelUnavailable: With the reason.
    """
    if not can_be_frozen(model):
        raise _unheld(model, purpose, "attention patterns and norm scales")


def require_patterns(model: Model, purpose: str) -> None:
    """Refuse a model whose patterns hooks cannot set.

    Raises:
        ModelUnavailable: With the reason.
    """
    if not _holdable(model).patterns:
        raise _unheld(model, purpose, "attention patterns")


def can_be_frozen(model: Model) -> bool:
    """Whether hooks can set a model's patterns and norm scales."""
    return all(_holdable(model))


def _unheld(model: Model, purpose: str, what: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{model.record.name}: {purpose} needs {what} that can be held, which TransformerLens does "
        f"not offer for {model.record.architecture}."
    )


def _holdable(model: Model) -> Holdable:
    if model not in _TRIED:
        _TRIED[model] = Holdable(_sets_patterns(model), _sets_scales(model))
    return _TRIED[model]


def _sets_patterns(model: Model) -> bool:
    """Without patterns, attention must give the same at both of two positions: its bias."""
    layers, seen = range(model.n_layers), dict[int, Tensor]()

    def keep(layer: int) -> Hook:
        return lambda x: seen.__setitem__(layer, x)

    hooks: list[tuple[Site, Hook]] = [
        (Site("pattern", layer), torch.zeros_like) for layer in layers
    ]
    _run_two(model, [*hooks, *((Site("attn_out", layer), keep(layer)) for layer in layers)])
    return all(bool(torch.equal(x[:, 0], x[:, 1])) for x in seen.values())


def _sets_scales(model: Model) -> bool:
    try:
        _run_two(model, [(site, torch.clone) for site in model.scale_sites])
    except AttributeError:  # it asks the norm for its weight
        return False
    return True


def _run_two(model: Model, hooks: Sequence[tuple[Site, Hook]]) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
        model.forward(torch.tensor([0, 1]), hooks)
