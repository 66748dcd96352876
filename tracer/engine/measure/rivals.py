"""Crude interventions at the place of a claim's: what a chosen set must do better, or as much.

Where a concept is put in at some positions and layers, three things do without any features:

- `mlp`: the whole outputs of the MLPs of these layers are those of the donors;
- `residual`: so is the whole residual stream after the last of them;
- `difference`: the mean of the donors' residual stream there, minus the mean of the rule's
  contrast, is added (difference of means).

Each is made with the wrong donors of every answer as well: what the place carries of any concept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.batches import BatchLimit
from tracer.engine.cache import StepForm, remembered
from tracer.engine.clean import CleanRun, reading
from tracer.engine.measure.prompts import Measurement
from tracer.engine.members import anchor_position
from tracer.engine.model.model import Hook
from tracer.engine.model.sites import Site
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.clamps import HERE, InterventionSpec, long_form
from tracer.hypothesis.procedure import brings, put_in, wrong_donors
from tracer.record.record import SupernodeRecord
from tracer.record.trials import Reading, Rival, RivalKind

KINDS: tuple[RivalKind, ...] = ("mlp", "residual", "difference")
_Vectors = Mapping[tuple[Site, int], Float[Tensor, " d_model"]]
"""By place: a site of the model, and how far before the anchor of the span."""


class _Swap(NamedTuple):
    """Where a concept is put in, and from which prompts."""

    node: SupernodeRecord
    at: str
    donors: tuple[str, ...]
    contrast: tuple[str, ...]
    wrong: Mapping[str, Sequence[str]]

    @property
    def layers(self) -> range:
        """From the first layer of its features to the last."""
        layers = {ref.layer for ref in self.node.features}
        return range(min(layers), max(layers) + 1)

    @property
    def offsets(self) -> tuple[int, ...]:
        """How far before the anchor its features are."""
        return tuple(sorted({ref.offset for ref in self.node.features if ref.position is None}))


def with_rivals(
    context: MeasurementContext, prompt: str, found: Measurement, limit: BatchLimit
) -> Measurement:
    """Add the rivals of every intervention that puts a concept in to a prompt's trials."""
    trials, clean = dict(found.trials), context.clean[prompt]
    for name, spec in context.hypothesis.interventions.items():
        is_measured = prompt in spec.prompts and not trials[name].problem
        swap = _swap(context, spec) if is_measured else None
        if swap is not None:
            trials[name] = trials[name].model_copy(
                update={"rivals": _rivals(context, swap, clean, limit)}
            )
    return found._replace(trials=trials)


def _swap(context: MeasurementContext, spec: InterventionSpec) -> _Swap | None:
    """None where nothing is put in from donors at a span, or no rivals are asked for."""
    hypothesis = context.hypothesis
    names = [name for name in put_in(hypothesis, spec) if brings(spec.clamp[name])]
    if not names or not hypothesis.controls.rivals:
        return None
    node, clamp = context.supernodes[names[0]], long_form(spec.clamp[names[0]])
    rule = hypothesis.supernodes[names[0]].select
    donors = tuple(name for name in clamp.from_ or node.source if name != HERE)
    if rule is None or not donors or clamp.amount.unit != "times":
        return None
    wrong = wrong_donors(hypothesis, rule)
    swap = _Swap(node, clamp.at or node.at, donors, rule.compared_with, wrong)
    return swap if swap.offsets else None


def _rivals(
    context: MeasurementContext, swap: _Swap, clean: CleanRun, limit: BatchLimit
) -> tuple[Rival, ...]:
    """From the cache where they are there."""

    def cause() -> list[Any]:
        lists = [swap.donors, swap.contrast, *swap.wrong.values()]
        ids = [[context.clean[name].prompt.ids for name in names] for names in lists]
        where = [list(swap.layers), swap.offsets, swap.at, swap.node.at, swap.node.anchor]
        return [clean.prompt.ids, where, ids, list(swap.wrong), clean.prompt.asked]

    def make() -> tuple[Rival, ...]:
        kinds = KINDS if swap.contrast else KINDS[:2]
        return tuple(_rival(context, swap, clean, kind) for kind in kinds)

    form = StepForm[tuple[Rival, ...]](
        lambda rivals: StoredEntry({}, [each.model_dump(mode="json") for each in rivals]),
        lambda entry: tuple(map(Rival.model_validate, entry.about)),
    )
    return remembered(context.cache, "rivals", cause, form, limit, make).result


def _rival(context: MeasurementContext, swap: _Swap, clean: CleanRun, kind: RivalKind) -> Rival:
    contrast = _mean(context, swap, swap.contrast) if kind == "difference" else None
    own, norm = _patched(context, swap, clean, kind, _mean(context, swap, swap.donors), contrast)
    wrong = {
        answer: _patched(context, swap, clean, kind, _mean(context, swap, names), contrast)[0]
        for answer, names in swap.wrong.items()
    }
    return Rival(kind=kind, reading=own, write_norm=norm, wrong=wrong)


def _patched(
    context: MeasurementContext,
    swap: _Swap,
    clean: CleanRun,
    kind: RivalKind,
    donors: _Vectors,
    contrast: _Vectors | None,
) -> tuple[Reading, float]:
    """The output with the donors' vectors in place, and the L2 norm of what changed."""
    anchor = anchor_position(clean.prompt, swap.at, swap.node.anchor)
    first = clean.prompt.spans[swap.at][0]
    offsets = [offset for offset in swap.offsets if anchor - offset >= first]
    start, changed = anchor - max(offsets, default=0), list[float]()

    def patch(site: Site) -> Hook:
        def hook(x: Tensor) -> Tensor:
            x = x.clone()
            for offset in offsets:
                if (site, offset) not in donors:
                    continue
                pos, new = anchor - offset - start, donors[site, offset]
                if contrast is not None:
                    new = x[0, pos] + new - contrast[site, offset]
                changed.append(float((new - x[0, pos]).norm()))
                x[0, pos] = new
            return x

        return hook

    hooks = [(site, patch(site)) for site in _sites(context, swap, kind)]
    with torch.no_grad():
        logits = context.model.forward(clean.ids[start:], hooks, prefix=clean.prefix.until(start))
    told = reading(logits[0], clean.prompt.asked, context.model.tokenizer)
    return told, float(torch.tensor(changed).norm())


def _sites(context: MeasurementContext, swap: _Swap, kind: RivalKind) -> list[Site]:
    if kind == "mlp":
        return [context.basis.output_site(layer) for layer in swap.layers]
    return [Site("resid_post", swap.layers[-1])]


def _mean(context: MeasurementContext, swap: _Swap, prompts: Sequence[str]) -> _Vectors:
    """The mean over prompts of what stands at every place; of those that have the place."""
    seen: dict[tuple[Site, int], list[Tensor]] = {}
    for name in prompts:
        for place, vector in _vectors(context, swap, context.clean[name]).items():
            seen.setdefault(place, []).append(vector)
    return {place: torch.stack(vectors).mean(0) for place, vectors in seen.items()}


def _vectors(context: MeasurementContext, swap: _Swap, run: CleanRun) -> _Vectors:
    """What stands at every place of one prompt; kept for the next intervention."""
    key = f"rivals/{run.prompt.name}/{swap.node.name}"
    if key in context.kept:
        return context.kept[key]
    anchor = anchor_position(run.prompt, swap.node.at, swap.node.anchor)
    first = run.prompt.spans[swap.node.at][0]
    found: dict[tuple[Site, int], Tensor] = {}

    def keep(site: Site) -> Hook:
        def hook(x: Tensor) -> None:
            found.update(
                {(site, n): x[0, anchor - n].clone() for n in swap.offsets if anchor - n >= first}
            )

        return hook

    sites = [*_sites(context, swap, "mlp"), *_sites(context, swap, "residual")]
    context.model.read(run.ids[None], [(site, keep(site)) for site in sites])
    context.kept[key] = found
    return found
