"""Measure what the interventions of a hypothesis do to one prompt: all their rows at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tracer.arrays import Arrays, control_key
from tracer.clamps import Clamp, assign, clamp_records, draw_controls, resolve_clamps
from tracer.clean import CleanRun
from tracer.features.basis import FeatureBasis, Place
from tracer.hypothesis.amount import Amount
from tracer.hypothesis.expansion import measured
from tracer.hypothesis.interventions import InterventionSpec
from tracer.hypothesis.spec import Hypothesis
from tracer.intervention import BatchLimit, Row, run_rows
from tracer.model.model import Model
from tracer.progress import Advance
from tracer.readings import activation, control_readings, empty_readings, reading
from tracer.record import Activation, Dose, Reading, SupernodeRecord, Trial
from tracer.supernodes import place


@dataclass(frozen=True)
class Bench:
    """Everything a measurement needs, opened and resolved."""

    hypothesis: Hypothesis
    model: Model
    basis: FeatureBasis
    clean: Mapping[str, CleanRun]
    supernodes: Mapping[str, SupernodeRecord]


class Measurement(NamedTuple):
    """One prompt's trials by intervention, their arrays, and what a reader must know of them."""

    trials: dict[str, Trial]
    arrays: Arrays
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Planned:
    """One intervention on one prompt: its rows, and where they start in the prompt's batch."""

    name: str
    clamps: list[Clamp]
    main: Row
    doses: list[Row]
    controls: list[Row]
    note: str | None

    @property
    def rows(self) -> list[Row]:
        return [self.main, *self.doses, *self.controls]


def measure_prompt(bench: Bench, prompt: str, limit: BatchLimit, advance: Advance) -> Measurement:
    """Run every intervention that names a prompt: clamps, doses and controls are rows."""
    plans = [
        _plan(bench, name, spec, prompt)
        for name, spec in measured(bench.hypothesis).items()
        if prompt in spec.prompts
    ]
    rows = [row for plan in plans for row in plan.rows]
    clean = bench.clean[prompt]
    asked = clean.prompt.asked
    readings: dict[int, Reading] = {}
    after: dict[int, Tensor] = {}
    kept = empty_readings(len(rows), len(asked))
    for numbers, logits, activations in run_rows(bench.model, bench.basis, clean, rows, limit):
        for column, values in zip(
            kept, control_readings(logits, list(asked.values())), strict=True
        ):
            column[numbers] = values
        for number, row, read in zip(numbers, logits, activations, strict=True):
            if not rows[number].is_control:
                readings[number] = reading(row, asked, bench.model.tokenizer)
                after[number] = read
        advance(len(numbers))
    trials: dict[str, Trial] = {}
    arrays: dict[str, Any] = {}
    first = 0
    for plan in plans:
        last = first + len(plan.rows)
        trials[plan.name] = _trial(bench, plan, clean, first, readings, after[first])
        for key, column in kept._asdict().items():
            own = column[last - len(plan.controls) : last]
            arrays[control_key(plan.name, prompt, key)] = own.numpy()
        first = last
    notes = tuple(f"{plan.name} on {prompt}: {plan.note}" for plan in plans if plan.note)
    return Measurement(trials, arrays, notes)


def n_rows(hypothesis: Hypothesis, prompt: str) -> int:
    """How many rows a prompt's measurement takes."""
    return sum(
        1 + hypothesis.n_controls(spec) + (len(spec.doses.factors) if spec.doses else 0)
        for spec in measured(hypothesis).values()
        if prompt in spec.prompts
    )


def _plan(bench: Bench, name: str, spec: InterventionSpec, prompt: str) -> _Planned:
    clean = bench.clean[prompt]
    clamps = resolve_clamps(spec, bench.supernodes, bench.clean, prompt)
    read = tuple(p for places in read_places(bench, prompt).values() for p in places)
    main = Row(assign(clamps, clean).values, spec.freeze, read)
    doses = _dose_rows(spec, clamps, clean)
    drawn = draw_controls(
        clamps,
        clean,
        bench.basis,
        _all_members(bench.supernodes),
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


def _all_members(supernodes: Mapping[str, SupernodeRecord]) -> dict[int, frozenset[int]]:
    """Feature indices of all supernodes, by layer."""
    members: dict[int, set[int]] = {}
    for supernode in supernodes.values():
        for ref in supernode.features:
            members.setdefault(ref.layer, set()).add(ref.index)
    return {layer: frozenset(indices) for layer, indices in members.items()}


def read_places(bench: Bench, prompt: str) -> dict[str, list[Place]]:
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
    bench: Bench,
    plan: _Planned,
    clean: CleanRun,
    first: int,
    readings: Mapping[int, Reading],
    after: Tensor,
) -> Trial:
    prompt = clean.prompt.name
    spec = measured(bench.hypothesis)[plan.name]
    factors = spec.doses.factors if spec.doses else ()
    return Trial(
        prompt=prompt,
        clamps=clamp_records(plan.clamps, clean, bench.basis),
        reading=readings[first],
        supernodes=_activations(bench, clean, after),
        doses=tuple(
            Dose(factor=factor, reading=readings[first + 1 + n]) for n, factor in enumerate(factors)
        ),
        n_controls=len(plan.controls),
        control_tokens=tuple(clean.prompt.asked),
        problem=None if plan.main.values else "no feature has a place on this prompt",
    )


def _activations(bench: Bench, clean: CleanRun, after: Tensor) -> dict[str, Activation]:
    """Every supernode's activation after the clamps, as shares of clean and source."""
    found: dict[str, Activation] = {}
    read = after
    for name, places in read_places(bench, clean.prompt.name).items():
        mine, read = read[: len(places)], read[len(places) :]
        before = torch.tensor([float(clean.activation(la, pos)[i]) for la, pos, i in places])
        found[name] = activation(mine, before, _source(bench, name, places))
    return found


def _source(bench: Bench, name: str, places: list[Place]) -> Tensor | None:
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
