"""Attribution patching: how much each feature's activation moves an output direction.

The gradient of a direction (a logit, or a difference of two) with respect to every feature at a
position, from one backward pass. Two rules:

- `gradient`: the plain derivative (Nanda 2023, attribution patching).
- `half`: attention patterns and norm scales are held constant, and a gated neuron σ(g)·u passes
  half of its relevance through each factor, as in the linearised replacement model:
  d(σ(g)·u) := ½·σ(g)·du + ½·u·(σ(g)/g)·dg.

Only positions from the first wanted one on are run: earlier ones cannot depend on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.targets import LogitDirection
from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.freeze import require_freezable
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.hypothesis.spec import Rule

Metric = Callable[[Float[Tensor, " vocab"]], Float[Tensor, ""]]
"""One number, read off the last logits."""


def along(direction: LogitDirection) -> Metric:
    """Σ coefficient · logit."""

    def metric(logits: Tensor) -> Tensor:
        found = sum(coefficient * logits[token] for token, coefficient in direction)
        assert isinstance(found, Tensor)
        return found

    return metric


def feature_gradients(
    metric: Metric,
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    positions: Sequence[int],
    by: Rule,
    candidates: Sequence[Int[Tensor, " _"]],
) -> tuple[Float[Tensor, "_ _"], ...]:
    """∂metric/∂activation of each layer's candidates, [position, candidate], by layer."""
    at_outputs = output_gradients(metric, model, basis, clean, positions, by)
    layers = range(basis.n_layers)
    return tuple(basis.gradient(layer, at_outputs, candidates[layer]) for layer in layers)


def output_gradients(
    metric: Metric,
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    positions: Sequence[int],
    by: Rule,
) -> dict[int, Float[Tensor, "pos d_model"]]:
    """∂metric/∂output of each layer at some positions: all that `FeatureBasis.gradient` needs."""
    start = min(positions)
    written: dict[Site, Tensor] = {}

    def keep(site: Site) -> Hook:
        return lambda x: written.__setitem__(site, x)

    layers = [*range(basis.n_layers), *basis.d_heads]
    sites = [basis.output_site(layer) for layer in layers]
    watch: list[tuple[Site, Hook]] = [(site, keep(site)) for site in sites]
    leaf: tuple[Site, Hook] = (Site("resid_pre", 0), lambda x: x.detach().requires_grad_())
    frozen = _half_rule(model) if by == "half" else []
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TransformerLens tells of every edited norm scale
        logits = model.forward(
            clean.ids[start:], [leaf, *frozen, *watch], prefix=clean.prefix.until(start)
        )
        grads = torch.autograd.grad(metric(logits[0]), [written[site] for site in sites])
    columns = torch.tensor(positions, device=logits.device) - start
    return {layer: grad[0, columns] for layer, grad in zip(layers, grads, strict=True)}


def _half_rule(model: Model) -> list[tuple[Site, Hook]]:
    """Hooks under which a backward pass follows the linearised model."""
    require_freezable(model, "rule: half")
    hooks: list[tuple[Site, Hook]] = [(site, torch.Tensor.detach) for site in model.scale_sites]
    for layer in range(model.n_layers):
        hooks.append((Site("pattern", layer), torch.Tensor.detach))
        hooks.extend(_half_rule_mlp(layer, gated=model.is_gated))
    return hooks


def _half_rule_mlp(layer: int, *, gated: bool) -> list[tuple[Site, Hook]]:
    factors: list[Tensor] = []

    def linearise(hidden: Tensor) -> Tensor:
        # hidden = a = σ(g)·u, linear in u and g: da = ½·(a/u)·du + ½·(a/g)·dg   [row, pos, neuron]
        share, linear = 1 / len(factors), hidden.detach()
        for factor in factors:
            fixed = factor.detach()
            slope = torch.where(fixed == 0, 0.0, hidden.detach() / fixed)
            linear = linear + share * slope * (factor - fixed)
        factors.clear()
        return linear

    kinds: list[SiteKind] = ["mlp_gate", "mlp_up"] if gated else ["mlp_up"]
    watch: list[tuple[Site, Hook]] = [(Site(kind, layer), factors.append) for kind in kinds]
    return [*watch, (Site("mlp_hidden", layer), linearise)]
