"""Measure what the interventions of a hypothesis do to one prompt: clamps, doses and controls.

The rows of one intervention, or of all those of a study, are measured together.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple

import numpy as np
import torch

from tracer.engine.batches import BatchLimit
from tracer.engine.cache import hash_of
from tracer.engine.clean import CleanRun, reading
from tracer.engine.cost import intervention_rows
from tracer.engine.measure.planned import PlannedTrial, plan_rows
from tracer.engine.measure.rows import read_rows
from tracer.engine.measure.trial import trial_of
from tracer.engine.progress import Advance
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry, key_of
from tracer.hypothesis.implied import measured_together
from tracer.hypothesis.spec import Hypothesis
from tracer.record.arrays import control_key, procedure_key, trial_name
from tracer.record.testable import NOT_MEASURED
from tracer.record.trials import Trial


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
            name: plan_rows(context, name, spec, clean)
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
    plans: Mapping[str, PlannedTrial],
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
        whole.trials[name] = trial_of(context, plan, clean, found.result, start)
        whole.notes.extend([f"{name} on {prompt}: {plan.note}"] if plan.note else [])
        whole.cached.extend([trial_name(name, prompt)] if found.from_cache else [])
        if context.hypothesis.prompts[prompt].held_out and _is_known(context, name, plan, clean):
            whole.known.append(trial_name(name, prompt))
        start = end


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


def _is_known(context: MeasurementContext, name: str, plan: PlannedTrial, clean: CleanRun) -> bool:
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
