"""Whether attention patterns and norm scales can be frozen at all.

Where TransformerLens leaves attention to Hugging Face (GPT-J, GPT-Neo), the hook on a pattern comes
too late and does nothing; a norm without weights (OLMo's) breaks when its scale is set. The answer
is found by trying, on two tokens, once for each model.
"""

from __future__ import annotations

import warnings
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site
from tracer.errors import ModelUnavailable

_TRIED: WeakKeyDictionary[Model, bool] = WeakKeyDictionary()


def require_freezable(model: Model, purpose: str) -> None:
    """Refuse a model whose patterns or norm scales hooks cannot set.

    Raises:
        ModelUnavailable: With the reason.
    """
    if model not in _TRIED:
        _TRIED[model] = _can_be_frozen(model)
    if not _TRIED[model]:
        raise ModelUnavailable(
            f"{model.record.name}: {purpose} needs attention patterns and norm scales that can be "
            f"held, which TransformerLens does not offer for {model.record.architecture}."
        )


def _can_be_frozen(model: Model) -> bool:
    """Without patterns, attention must give the same at both of two positions: its bias."""
    layers, seen = range(model.n_layers), dict[int, Tensor]()

    def keep(layer: int) -> Hook:
        return lambda x: seen.__setitem__(layer, x)

    hooks: list[tuple[Site, Hook]] = [(site, torch.clone) for site in model.scale_sites]
    hooks += [(Site("pattern", layer), torch.zeros_like) for layer in layers]
    hooks += [(Site("attn_out", layer), keep(layer)) for layer in layers]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
        try:
            model.forward(torch.tensor([0, 1]), hooks)
        except AttributeError:  # it asks the norm for its weight
            return False
    return all(bool(torch.equal(x[:, 0], x[:, 1])) for x in seen.values())
