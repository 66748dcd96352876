"""What came out of an intervention's rows on one prompt, as a record."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tracer.engine.cache import KeptRows
from tracer.engine.clamps import Clamp, Ranges, clamp_records
from tracer.engine.clean import CleanRun, activation, reading
from tracer.engine.features.places import Places
from tracer.engine.measure.planned import PlannedTrial, at_end, sets_end
from tracer.engine.pattern_clamps import (
    pattern_problem,
    pattern_records,
    unclamped_row,
    unclamped_weight,
    unseen_by,
)
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.clamps import Amount
from tracer.record.trials import Activation, Dose, Trial, WeightRecord


def trial_of(
    context: MeasurementContext, plan: PlannedTrial, clean: CleanRun, found: KeptRows, start: int
) -> Trial:
    """What came out of a plan whose rows begin at `start`."""
    factors = plan.spec.doses.factors if plan.spec.doses else ()
    active = _activations(context, plan, clean, found.activations[start])
    if plan.direct:
        direct = found.readings[start + 1 + len(factors)]
    elif len(at_end(plan.main.values, clean)) or sets_end(plan.main.patterns, clean):
        direct = None
    else:
        direct = reading(clean.logits, clean.prompt.asked, context.model.tokenizer)
    return Trial(
        prompt=clean.prompt.name,
        clamps=clamp_records(plan.clamps, plan.assignment, clean, context.basis, _ranges(context)),
        reading=found.readings[start],
        supernodes={name: clamped for name, (clamped, _) in active.items()},
        unclamped={name: unclamped for name, (_, unclamped) in active.items()},
        patterns=pattern_records(context, plan.spec, clean.prompt.name),
        attends=_weights(context, plan, clean, found.looked.get(start)),
        direct=direct,
        doses=tuple(
            Dose(factor=factor, reading=found.readings[n])
            for n, factor in enumerate(factors, start + 1)
        ),
        n_controls=len(plan.controls),
        control_tokens=tuple(clean.prompt.asked),
        procedure=plan.procedure,
        problem=_problem(context, plan, clean),
    )


def _problem(context: MeasurementContext, plan: PlannedTrial, clean: CleanRun) -> str | None:
    """Why what was measured shows nothing."""
    if plan.main.patterns:
        return pattern_problem(context, plan.main.patterns, clean.prompt.name)
    return None if len(plan.main.values) else "no feature has a place on this prompt"


def _weights(
    context: MeasurementContext, plan: PlannedTrial, clean: CleanRun, looked: Tensor | None
) -> dict[str, WeightRecord]:
    """The weights that expectations ask for, under the clamps and without."""
    found: dict[str, WeightRecord] = {}
    for number, (key, look) in enumerate(plan.looks.items()):
        assert looked is not None
        unclamped = unclamped_weight(context, look, clean.prompt.name)
        unseen = unseen_by(context, look, clean.prompt.name)
        found[key] = WeightRecord(
            clamped=float(looked[number]),
            unclamped=unclamped,
            unseen=unseen,
            attention=unclamped_row(context, look, clean.prompt.name),
        )
    return found


def _ranges(context: MeasurementContext) -> Ranges:
    """What the features are on the file's prompts; found once."""
    if "ranges" not in context.kept:
        context.kept["ranges"] = Ranges(context.clean.values())
    return context.kept["ranges"]


def _activations(
    context: MeasurementContext, plan: PlannedTrial, clean: CleanRun, after: Tensor
) -> dict[str, tuple[Activation, Activation]]:
    """Every supernode's activation clamped and unclamped, over features that are left free.

    As shares of clean and source; `after` is that of all supernodes' features after the clamps.
    """
    places = context.places(clean.prompt.name)
    parts = after.split([len(each) for each in places.values()])
    found: dict[str, tuple[Activation, Activation]] = {}
    for (name, mine), now in zip(places.items(), parts, strict=True):
        free = torch.from_numpy(~plan.main.values.has(mine))
        width = context.supernodes[name].width
        before = clean.at(mine).float()[free]
        source = _source(context, name, mine)
        reference = None if source is None else source[free]
        n_set = {"n_set": int((~free).sum()) // width}
        clamped, unclamped = (
            activation(each, before, reference, width).model_copy(update=n_set)
            for each in (now[free], before)
        )
        found[name] = (clamped, unclamped)
    return found


def _source(context: MeasurementContext, name: str, places: Places) -> Tensor | None:
    """A supernode's own activations: the mean over its sources, where each member has one."""
    supernode = context.supernodes[name]
    if not supernode.source or len(places) != len(supernode.members) * supernode.width:
        return None
    key = f"source/{name}"
    if key not in context.kept:
        runs = tuple(context.clean[source] for source in supernode.source)
        clamp = Clamp(supernode, Amount("times", 1.0), supernode.at, runs, supernode.at)
        index = torch.from_numpy(places[:, 2])
        found = torch.zeros(len(index))
        member = np.arange(len(supernode.members)).repeat(supernode.width)
        for members, means in clamp.source_means(member):
            rows = torch.from_numpy(members)
            found[rows] = means[index[rows]].float()
        context.kept[key] = found
    return context.kept[key]
