"""What a clamped pass holds as it was: the freeze modes.

`none` holds nothing; `attention` every pattern as in the clean pass; `all` also every norm scale
and every MLP's output as in the clean pass (less the skip path of a basis that has one). Then only
the clamped features' direct paths are left, as in the attribution graph: the effect on the logits
is linear in the clamps, and the features that are read show what reaches them directly.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from tracer.engine.clean import CleanRun
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.freezable import require_freezable
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site

Freeze = Literal["none", "attention", "all"]


def held_hooks(
    model: Model, basis: FeatureBasis, clean: CleanRun, start: int, freeze: Freeze
) -> list[tuple[Site, Hook]]:
    """Hooks that hold a clean pass's values at every site the mode freezes.

    Raises:
        ModelUnavailable: Its patterns or norm scales cannot be held.
    """
    if freeze == "none":
        return []
    require_freezable(model, f"freeze: {freeze}")
    sites = [Site("pattern", layer) for layer in range(model.n_layers)]
    inputs: list[Site] = []
    if freeze == "all":
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
