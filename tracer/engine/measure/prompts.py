"""Measure what the interventions of a hypothesis do to one prompt: clamps, doses and controls.

The rows of one intervention, or of all those of a study, are measured together.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tracer.engine.batches import BatchLimit, Row
from tracer.engine.cache import KeptRows, hash_of
from tracer.engine.clamps import Assignment, Clamp, Ranges, assign, clamp_records, resolve_clamps
from tracer.engine.clean import CleanRun, activation, reading
from tracer.engine.controls import draw_controls
from tracer.engine.cost import intervention_rows
from tracer.engine.features.places import Places, PlaceValues, joined
from tracer.engine.freeze import can_be_frozen
from tracer.engine.measure.rows import read_rows
from tracer.engine.pattern_clamps import (
    looks_of,
    pattern_controls,
    pattern_problem,
    pattern_records,
    resolve_patterns,
    unclamped_weight,
    unseen_by,
    written_at_end,
)
from tracer.engine.patterns import Look, PatternEdit
from tracer.engine.procedure import made_anew
from tracer.engine.progress import Advance
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry, key_of
from tracer.hypothesis.clamps import Amount, InterventionSpec
from tracer.hypothesis.implied import measured_together
from tracer.hypothesis.spec import Hypothesis
from tracer.record.arrays import control_key, procedure_key, trial_name
from tracer.record.trials import Activation, Dose, ProcedureControl, Trial, WeightRecord


class Measurement(NamedTuple):
    """One prompt's trials by intervention, their arrays, and what a reader must know of them."""

    trials: dict[str, Trial]
    arrays: dict[str, np.ndarray]
    notes: list[str]
    cached: list[str]
    """Names of the trials that were read from the cache."""
    known: list[str]
    """Held-out ones whose clamps had been measured when something else was claimed."""


def measure_prompt(
    context: MeasurementContext,
    prompt: str,
    limit: BatchLimit,
    advance: Advance,
    left_out: Container[str] = (),
) -> Measurement:
    """Run every intervention that names a prompt: clamps, doses and controls are rows.

    What is measured together has a cache entry of its own, which a change elsewhere in the file
    leaves as it is. Interventions that are `left_out` have a trial that says so.
    """
    clean, whole = context.clean[prompt], Measurement({}, {}, [], [], [])
    for together in measured_together(context.hypothesis):
        plans = {
            name: _plan(context, name, spec, clean)
            for name, spec in together.items()
            if prompt in spec.prompts and name not in left_out
        }
        for name, spec in together.items():
            if prompt in spec.prompts and name in left_out:
                whole.trials[name] = _not_measured(context, clean)
        if plans:
            _measure_together(context, plans, clean, limit, whole, advance)
    return whole


def _measure_together(
    context: MeasurementContext,
    plans: Mapping[str, _Planned],
    clean: CleanRun,
    limit: BatchLimit,
    whole: Measurement,
    advance: Advance,
) -> None:
    rows = [row for plan in plans.values() for row in plan.rows]
    model, basis = context.model, context.basis
    found = read_rows(model, basis, clean, rows, limit, context.cache, advance)
    prompt, start = clean.prompt.name, 0
    for name, plan in plans.items():
        end = start + len(plan.rows)
        last = end - len(plan.made_anew)
        first = last - len(plan.controls)
        for what, column in found.result.columns._asdict().items():
            whole.arrays[control_key(name, prompt, what)] = column[first:last].numpy()
            if plan.made_anew:
                whole.arrays[procedure_key(name, prompt, what)] = column[last:end].numpy()
        if plan.looks and plan.controls:
            looked = torch.stack([found.result.looked[row] for row in range(first, last)])
            whole.arrays[control_key(name, prompt, "attends")] = looked.numpy()
        whole.trials[name] = _trial(context, plan, clean, found.result, start)
        whole.notes.extend([f"{name} on {prompt}: {plan.note}"] if plan.note else [])
        whole.cached.extend([trial_name(name, prompt)] if found.from_cache else [])
        if context.hypothesis.prompts[prompt].held_out and _is_known(context, name, plan, clean):
            whole.known.append(trial_name(name, prompt))
        start = end


NOT_MEASURED = "it was not measured: nothing of it can be tested (`--keep-going` measures all)"


def _not_measured(context: MeasurementContext, clean: CleanRun) -> Trial:
    """The prompt as it is without clamps, and why nothing was measured on it."""
    return Trial(
        prompt=clean.prompt.name,
        clamps=(),
        reading=reading(clean.logits, clean.prompt.asked, context.model.tokenizer),
        supernodes={},
        n_controls=0,
        problem=NOT_MEASURED,
    )


def _is_known(context: MeasurementContext, name: str, plan: _Planned, clean: CleanRun) -> bool:
    """Whether these clamps were measured on this prompt when something else was claimed of them.

    A claim is what is expected, on which held-out texts: a file with another name, seed or other
    controls, or with the prompts left out that failed, has been looked at before. Studies, which
    may clamp as an intervention beside them does, are compared with studies.
    """
    if context.cache is None:
        return False
    spec, is_study = plan.spec, name not in context.hypothesis.interventions
    values = hash_of(plan.main.values.where, plan.main.values.value)
    patterns = [edit.cause() for edit in plan.main.patterns]
    cause = [is_study, clean.prompt.ids, plan.main.freeze, values, patterns]
    key = context.cache.key("claimed", cause)
    doses = spec.doses.expect if spec.doses else ()
    expected = [each.model_dump(mode="json") for each in (*spec.expect, *doses)]
    prompts = {name: context.hypothesis.prompts[name] for name in spec.prompts}
    judged = sorted(context.clean[n].prompt.ids for n, each in prompts.items() if each.held_out)
    claim = key_of([expected, judged])
    first = context.cache.read(key, _claim_of)
    if first is None:
        context.cache.store.write(key, {}, claim)
    return first not in (None, claim)


def _claim_of(entry: StoredEntry) -> str:
    """What is kept of a first look.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(entry.about, str):
        raise ValueError("an entry of something else")
    return entry.about


def n_rows(hypothesis: Hypothesis, prompt: str, left_out: Container[str] = ()) -> int:
    """How many rows a prompt's measurement takes."""
    return sum(
        rows.total
        for rows in intervention_rows(hypothesis)
        if rows.prompt == prompt and rows.intervention not in left_out
    )


@dataclass(frozen=True)
class _Planned:
    """One intervention on one prompt: its rows."""

    spec: InterventionSpec
    clamps: list[Clamp]
    assignment: Assignment
    """What they set, and which of them."""
    main: Row
    doses: list[Row]
    direct: list[Row]
    """The clamps at the last token, with everything else held; none where nothing is clamped there,
    or the model cannot be held."""
    controls: list[Row]
    made_anew: list[Row]
    looks: Mapping[str, Look]
    """Weights of patterns that the main row and the controls read, by name."""
    procedure: tuple[ProcedureControl, ...]
    note: str | None

    @property
    def rows(self) -> list[Row]:
        """All of them, in the order that they are read in."""
        return [self.main, *self.doses, *self.direct, *self.controls, *self.made_anew]


def _plan(
    context: MeasurementContext, name: str, spec: InterventionSpec, clean: CleanRun
) -> _Planned:
    prompt = clean.prompt.name
    clamps = resolve_clamps(spec, context.supernodes, context.clean, prompt)
    assignment = assign(clamps, clean)
    read = joined(context.places(prompt).values())
    seed = f"{context.hypothesis.seed}/{name}"
    n_controls = context.hypothesis.n_controls(spec)
    excluded = context.members(_concerned(spec))
    drawn = draw_controls(
        clamps,
        assignment,
        clean,
        context.basis,
        excluded,
        n_controls,
        seed,
        context.hypothesis.controls.matched,
    )
    patterns = resolve_patterns(context, spec, prompt)
    looks = looks_of(context, spec, prompt)
    asked = tuple(looks.values())
    set_otherwise = pattern_controls(context, spec, prompt, excluded, n_controls, seed)
    note = None
    if drawn is None:
        note = "no controls: too few features change on this prompt to draw matched ones from"
    made = made_anew(context, name, spec)
    anew = [
        assign(resolve_clamps(each.spec, each.supernodes, context.clean, prompt), clean).values
        for each in made
    ]
    return _Planned(
        spec=spec,
        clamps=clamps,
        assignment=assignment,
        main=Row(assignment.values, spec.freeze, read, patterns=patterns, looks=asked),
        doses=_dose_rows(spec, clamps, clean, patterns),
        direct=_direct_rows(context, assignment.values, clean, patterns),
        made_anew=[Row(each, spec.freeze, is_control=True, patterns=patterns) for each in anew],
        procedure=tuple(
            ProcedureControl(
                family=each.made.family,
                on=each.made.rule.on,
                answer=each.made.answer,
                n_features=len(own),
            )
            for each, own in zip(made, anew, strict=True)
        ),
        controls=[
            Row(values, spec.freeze, is_control=True, patterns=edits, looks=asked)
            for values, edits in _paired(drawn or [], set_otherwise, assignment.values)
        ],
        looks=looks,
        note=note,
    )


def _paired(
    drawn: Sequence[PlaceValues], patterns: Sequence[Sequence[PatternEdit]], real: PlaceValues
) -> list[tuple[PlaceValues, Sequence[PatternEdit]]]:
    """Controls of the clamps with those of the patterns; the fewer ones come again."""
    if not drawn:
        return [(PlaceValues.zeros(real.where[:0]), edits) for edits in patterns if not len(real)]
    n = max(len(drawn), len(patterns))
    some = patterns or [()]
    return [(drawn[k % len(drawn)], some[k % len(some)]) for k in range(n)]


def _direct_rows(
    context: MeasurementContext,
    values: PlaceValues,
    clean: CleanRun,
    patterns: Sequence[PatternEdit],
) -> list[Row]:
    """What the clamps write to the logits themselves: only the last token's residual stream does.

    A pattern that is set there is what its head would write with the values as they are. None where
    nothing is set there, and where the model's attention cannot be held.
    """
    at_end = _at_end(values, clean)
    written = written_at_end(context, patterns, clean.prompt.name)
    if written is None or not can_be_frozen(context.model):
        return []
    free = written.only(~at_end.has(written.where))
    both = PlaceValues(
        joined([at_end.where, free.where]), np.concatenate([at_end.value, free.value])
    )
    return [Row(both, "residual")] if len(both) else []


def _sets_end(patterns: Sequence[PatternEdit], clean: CleanRun) -> bool:
    """Whether a pattern is set at the last token."""
    return any(edit.queries[1] == len(clean.ids) for edit in patterns)


def _at_end(values: PlaceValues, clean: CleanRun) -> PlaceValues:
    """What is set at the last token."""
    return values.only(values.where[:, 1] == len(clean.ids) - 1)


def _concerned(spec: InterventionSpec) -> list[str]:
    """The supernodes that are clamped or read: no control of the intervention holds any of them."""
    read = (name for expectation in spec.expect for name in expectation.supernodes())
    return list(dict.fromkeys((*spec.set_supernodes, *read)))


def _dose_rows(
    spec: InterventionSpec, clamps: list[Clamp], clean: CleanRun, patterns: Sequence[PatternEdit]
) -> list[Row]:
    """The intervention once for each factor of its dose series."""
    if spec.doses is None:
        return []
    dosed, rows = spec.doses.of, list[Row]()
    for factor in spec.doses.factors:
        changed = [
            replace(c, amount=Amount(c.amount.unit, factor)) if c.supernode.name == dosed else c
            for c in clamps
        ]
        rows.append(Row(assign(changed, clean).values, spec.freeze, patterns=patterns))
    return rows


def _trial(
    context: MeasurementContext, plan: _Planned, clean: CleanRun, found: KeptRows, start: int
) -> Trial:
    """What came out of a plan whose rows begin at `start`."""
    factors = plan.spec.doses.factors if plan.spec.doses else ()
    active = _activations(context, plan, clean, found.activations[start])
    if plan.direct:
        direct = found.readings[start + 1 + len(factors)]
    elif len(_at_end(plan.main.values, clean)) or _sets_end(plan.main.patterns, clean):
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


def _problem(context: MeasurementContext, plan: _Planned, clean: CleanRun) -> str | None:
    """Why what was measured shows nothing."""
    if plan.main.patterns:
        return pattern_problem(context, plan.main.patterns, clean.prompt.name)
    return None if len(plan.main.values) else "no feature has a place on this prompt"


def _weights(
    context: MeasurementContext, plan: _Planned, clean: CleanRun, looked: Tensor | None
) -> dict[str, WeightRecord]:
    """The weights that expectations ask for, under the clamps and without."""
    found: dict[str, WeightRecord] = {}
    for number, (key, look) in enumerate(plan.looks.items()):
        assert looked is not None
        unclamped = unclamped_weight(context, look, clean.prompt.name)
        unseen = unseen_by(context, look, clean.prompt.name)
        found[key] = WeightRecord(clamped=float(looked[number]), unclamped=unclamped, unseen=unseen)
    return found


def _ranges(context: MeasurementContext) -> Ranges:
    """What the features are on the file's prompts; found once."""
    if "ranges" not in context.kept:
        context.kept["ranges"] = Ranges(context.clean.values())
    return context.kept["ranges"]


def _activations(
    context: MeasurementContext, plan: _Planned, clean: CleanRun, after: Tensor
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
            found[rows] = means[index[rows].to(means.device)].float().cpu()
        context.kept[key] = found
    return context.kept[key]
