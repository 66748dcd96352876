"""The rows that measure one intervention on one prompt: clamps, doses, direct writes, controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracer.engine.batches import Row
from tracer.engine.clamps import Assignment, Clamp, assign, resolve_clamps
from tracer.engine.clean import CleanRun
from tracer.engine.controls import draw_controls
from tracer.engine.features.places import HEADS, PlaceValues, joined
from tracer.engine.freeze import can_be_frozen
from tracer.engine.pattern_clamps import (
    looks_of,
    pattern_controls,
    resolve_patterns,
    written_at_end,
)
from tracer.engine.patterns import Look, PatternEdit
from tracer.engine.procedure import made_anew
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.clamps import Amount, InterventionSpec
from tracer.record.trials import ProcedureControl


@dataclass(frozen=True)
class PlannedTrial:
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


def plan_rows(
    context: MeasurementContext, name: str, spec: InterventionSpec, clean: CleanRun
) -> PlannedTrial:
    """The rows that measure an intervention on a prompt: clamps, doses, controls."""
    prompt = clean.prompt.name
    clamps = resolve_clamps(spec, context.supernodes, context.clean, prompt)
    assignment = assign(clamps, clean)
    read = joined(context.places(prompt).values())
    seed = f"{context.hypothesis.seed}/{name}"
    n_controls = context.hypothesis.n_controls(spec)
    looks = looks_of(context, spec, prompt)
    excluded = _without(context, spec, looks)
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
    return PlannedTrial(
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
    last = at_end(values, clean)
    written = written_at_end(context, patterns, clean.prompt.name)
    if written is None or not can_be_frozen(context.model):
        return []
    free = written.only(~last.has(written.where))
    both = PlaceValues(joined([last.where, free.where]), np.concatenate([last.value, free.value]))
    return [Row(both, "residual")] if len(both) else []


def sets_end(patterns: Sequence[PatternEdit], clean: CleanRun) -> bool:
    """Whether a pattern is set at the last token."""
    return any(edit.queries[1] == len(clean.ids) for edit in patterns)


def at_end(values: PlaceValues, clean: CleanRun) -> PlaceValues:
    """What is set at the last token."""
    return values.only(values.where[:, 1] == len(clean.ids) - 1)


def _without(
    context: MeasurementContext, spec: InterventionSpec, looks: Mapping[str, Look]
) -> Mapping[int, frozenset[int]]:
    """By layer, what is clamped or read: no control of the intervention holds any of it."""
    read = (name for expectation in spec.expect for name in expectation.supernodes())
    found = dict(context.members(list(dict.fromkeys((*spec.set_supernodes, *read)))))
    for layer, head in (head for look in looks.values() for head in look.heads):
        found[HEADS + layer] = found.get(HEADS + layer, frozenset()) | {head}
    return found


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
