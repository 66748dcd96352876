"""Measure what the interventions of a hypothesis do to one prompt: all their rows at once.

Readings of a prompt's rows: from the cache where it has them, else by measuring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.cache import FoundRows, KeptRows, RowCache, StepCache
from tracer.engine.clamps import Clamp, assign, clamp_records, draw_controls, resolve_clamps
from tracer.engine.clean import (
    CleanRun,
    ControlReadings,
    activation,
    control_readings,
    empty_readings,
    reading,
)
from tracer.engine.features.basis import FeatureBasis, Place
from tracer.engine.forward import BatchLimit, Measured, Row, run_to_end
from tracer.engine.model.model import Model
from tracer.engine.progress import Advance
from tracer.engine.supernodes import place
from tracer.hypothesis.clamps import Amount, InterventionSpec
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis
from tracer.record.arrays import Arrays, control_key, trial_name
from tracer.record.record import SupernodeRecord
from tracer.record.trials import Activation, Dose, Reading, Trial


class RowReadings(NamedTuple):
    """What was read off the rows of one call."""

    columns: ControlReadings
    """Of every row."""
    readings: Mapping[int, Reading]
    """Of the rows that are no controls."""
    activations: Mapping[int, Float[Tensor, " read"]]
    """Of the rows that are no controls, in the order of their `read`."""
    from_cache: bool


class _Batch(NamedTuple):
    """Rows of one batch, and what the unembedding read of them."""

    measured: Measured
    ends: Float[Tensor, "row d_model"]


def read_rows(
    model: Model,
    basis: FeatureBasis,
    clean: CleanRun,
    rows: Sequence[Row],
    limit: BatchLimit,
    cache: RowCache | None,
    advance: Advance,
) -> RowReadings:
    """Clamp a prompt in every way, and read the tokens its hypothesis asks about.

    The rows of one call share batches with one another and with no others, so that they come out
    the same whatever else a hypothesis holds. Rows whose batches were cut because memory ran out
    are not kept.

    Raises:
        EngineError: One row alone does not fit into memory.
    """
    asked = clean.prompt.asked
    key = cache.key(clean, rows, limit.rows) if cache else None
    found = cache.read(key, rows) if cache and key else None
    if found is not None and found.answers(asked):
        advance(len(rows))
        return _readings(found.of(asked), from_cache=True)
    halved = limit.halved
    batches = _measured(model, basis, clean, rows, limit) if found is None else _again(model, found)
    kept = _read(batches, rows, clean, model, advance)
    if cache and key and limit.halved == halved:
        cache.write(key, kept, asked)
    return _readings(kept, from_cache=found is not None)


def _measured(
    model: Model, basis: FeatureBasis, clean: CleanRun, rows: Sequence[Row], limit: BatchLimit
) -> Iterator[_Batch]:
    for measured, ends in run_to_end(model, basis, clean, rows, limit):
        yield _Batch(measured, ends)


def _again(model: Model, found: FoundRows) -> Iterator[_Batch]:
    """The batches of an entry, their logits made again."""
    kept = found.rows
    none = kept.ends.new_zeros(0)
    for batch in kept.batches:
        ends = kept.ends[list(batch)]
        activations = [kept.activations.get(row, none) for row in batch]
        yield _Batch(Measured(list(batch), model.unembed(ends), activations), ends)


def _read(
    batches: Iterable[_Batch],
    rows: Sequence[Row],
    clean: CleanRun,
    model: Model,
    advance: Advance,
) -> KeptRows:
    asked = clean.prompt.asked
    columns = empty_readings(len(rows), len(asked), clean.logits.dtype)
    readings: dict[int, Reading] = {}
    activations: dict[int, Tensor] = {}
    order: list[list[int]] = []
    ends: dict[int, Tensor] = {}
    for (numbers, logits, read), last in batches:
        found = control_readings(logits, list(asked.values()))
        for column, values in zip(columns, found, strict=True):
            column[numbers] = values
        for number, row, active in zip(numbers, logits, read, strict=True):
            if not rows[number].is_control:
                readings[number] = reading(row, asked, model.tokenizer)
                activations[number] = active
        ends.update(zip(numbers, last.cpu(), strict=True))
        order.append(numbers)
        advance(len(numbers))
    return KeptRows(
        columns, readings, activations, order, torch.stack([ends[n] for n in range(len(rows))])
    )


def _readings(kept: KeptRows, *, from_cache: bool) -> RowReadings:
    return RowReadings(kept.columns, kept.readings, kept.activations, from_cache)


@dataclass(frozen=True)
class MeasurementContext:
    """Everything a measurement needs, opened and resolved."""

    hypothesis: Hypothesis
    model: Model
    basis: FeatureBasis
    clean: Mapping[str, CleanRun]
    supernodes: Mapping[str, SupernodeRecord]
    row_cache: RowCache | None = None
    step_cache: StepCache | None = None


class Measurement(NamedTuple):
    """One prompt's trials by intervention, their arrays, and what a reader must know of them."""

    trials: dict[str, Trial]
    arrays: Arrays
    notes: tuple[str, ...]
    cached: tuple[str, ...]
    """Names of the trials that were read from the cache."""

    def joined(self, other: Measurement) -> Measurement:
        """Both, of other interventions."""
        return Measurement(
            self.trials | other.trials,
            {**self.arrays, **other.arrays},
            self.notes + other.notes,
            self.cached + other.cached,
        )


@dataclass(frozen=True)
class _Planned:
    """One intervention on one prompt: its rows."""

    name: str
    clamps: list[Clamp]
    main: Row
    doses: list[Row]
    controls: list[Row]
    note: str | None

    @property
    def rows(self) -> list[Row]:
        return [self.main, *self.doses, *self.controls]


def measure_prompt(
    bench: MeasurementContext, prompt: str, limit: BatchLimit, advance: Advance
) -> Measurement:
    """Run every intervention that names a prompt: clamps, doses and controls are rows."""
    measurement = Measurement({}, {}, (), ())
    for name, spec in all_interventions(bench.hypothesis).items():
        if prompt in spec.prompts:
            plan = _plan(bench, name, spec, prompt)
            measurement = measurement.joined(_measure(bench, plan, prompt, limit, advance))
    return measurement


def _measure(
    bench: MeasurementContext, plan: _Planned, prompt: str, limit: BatchLimit, advance: Advance
) -> Measurement:
    """One intervention on one prompt: what a change elsewhere in the file leaves as it is."""
    clean = bench.clean[prompt]
    found = read_rows(bench.model, bench.basis, clean, plan.rows, limit, bench.row_cache, advance)
    n_shown = len(plan.rows) - len(plan.controls)
    arrays = {
        control_key(plan.name, prompt, what): column[n_shown:].numpy()
        for what, column in found.columns._asdict().items()
    }
    notes = (f"{plan.name} on {prompt}: {plan.note}",) if plan.note else ()
    trial = _trial(bench, plan, clean, found)
    cached = (trial_name(plan.name, prompt),) if found.from_cache else ()
    return Measurement({plan.name: trial}, arrays, notes, cached)


def n_rows(hypothesis: Hypothesis, prompt: str) -> int:
    """How many rows a prompt's measurement takes."""
    return sum(
        1 + hypothesis.n_controls(spec) + (len(spec.doses.factors) if spec.doses else 0)
        for spec in all_interventions(hypothesis).values()
        if prompt in spec.prompts
    )


def _plan(bench: MeasurementContext, name: str, spec: InterventionSpec, prompt: str) -> _Planned:
    clean = bench.clean[prompt]
    clamps = resolve_clamps(spec, bench.supernodes, bench.clean, prompt)
    read = tuple(p for places in read_places(bench, prompt).values() for p in places)
    main = Row(assign(clamps, clean).values, spec.freeze, read)
    doses = _dose_rows(spec, clamps, clean)
    drawn = draw_controls(
        clamps,
        clean,
        bench.basis,
        all_members(bench.supernodes),
        bench.hypothesis.n_controls(spec),
        f"{bench.hypothesis.seed}/{name}",
    )
    note = None
    if drawn is None:
        note = "no controls: too few features change on this prompt to draw matched ones from"
    controls = [Row(values, spec.freeze, is_control=True) for values in drawn or ()]
    return _Planned(name, clamps, main, doses, controls, note)


def _dose_rows(spec: InterventionSpec, clamps: list[Clamp], clean: CleanRun) -> list[Row]:
    """The intervention once for each factor of its dose series."""
    if spec.doses is None:
        return []
    dosed, rows = spec.doses.of, list[Row]()
    for factor in spec.doses.factors:
        changed = [
            replace(c, amount=Amount(c.amount.unit, factor)) if c.supernode.name == dosed else c
            for c in clamps
        ]
        rows.append(Row(assign(changed, clean).values, spec.freeze))
    return rows


def all_members(supernodes: Mapping[str, SupernodeRecord]) -> dict[int, frozenset[int]]:
    """Feature indices of all supernodes, by layer."""
    members: dict[int, set[int]] = {}
    for supernode in supernodes.values():
        for ref in supernode.features:
            members.setdefault(ref.layer, set()).add(ref.index)
    return {layer: frozenset(indices) for layer, indices in members.items()}


def read_places(bench: MeasurementContext, prompt: str) -> dict[str, list[Place]]:
    """Where each supernode's members are on a prompt that has their span."""
    tokenized = bench.clean[prompt].prompt
    places: dict[str, list[Place]] = {}
    for name, supernode in bench.supernodes.items():
        if supernode.at not in tokenized.spans:
            continue
        places[name] = [
            (ref.layer, pos, ref.index)
            for ref in supernode.features
            if (pos := place(ref, tokenized, supernode.at, supernode.anchor)) is not None
        ]
    return places


def _trial(
    bench: MeasurementContext,
    plan: _Planned,
    clean: CleanRun,
    found: RowReadings,
) -> Trial:
    prompt = clean.prompt.name
    spec = all_interventions(bench.hypothesis)[plan.name]
    factors = spec.doses.factors if spec.doses else ()
    return Trial(
        prompt=prompt,
        clamps=clamp_records(plan.clamps, clean, bench.basis),
        reading=found.readings[0],
        supernodes=_activations(bench, clean, found.activations[0]),
        doses=tuple(
            Dose(factor=factor, reading=found.readings[n]) for n, factor in enumerate(factors, 1)
        ),
        n_controls=len(plan.controls),
        control_tokens=tuple(clean.prompt.asked),
        problem=None if plan.main.values else "no feature has a place on this prompt",
    )


def _activations(
    bench: MeasurementContext, clean: CleanRun, after: Tensor
) -> dict[str, Activation]:
    """Every supernode's activation after the clamps, as shares of clean and source."""
    found: dict[str, Activation] = {}
    read = after
    for name, places in read_places(bench, clean.prompt.name).items():
        mine, read = read[: len(places)], read[len(places) :]
        before = torch.tensor([float(clean.activation(la, pos)[i]) for la, pos, i in places])
        found[name] = activation(mine, before, _source(bench, name, places))
    return found


def _source(bench: MeasurementContext, name: str, places: list[Place]) -> Tensor | None:
    """A supernode's own activations: the mean over its sources, where each member has one."""
    supernode = bench.supernodes[name]
    if not supernode.source or len(places) != len(supernode.features):
        return None
    runs = tuple(bench.clean[source] for source in supernode.source)
    clamp = Clamp(supernode, Amount("times", 1.0), supernode.at, runs, supernode.at)
    values = [clamp.source_activations(member) for member in range(len(supernode.features))]
    indices = [ref.index for ref in supernode.features]
    return torch.tensor(
        [0.0 if v is None else float(v[i]) for v, i in zip(values, indices, strict=True)]
    )
