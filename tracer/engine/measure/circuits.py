"""Measure a circuit on one prompt: with all else ablated, taken out, and against random ones.

Every score is one row of the engine. F(C), F(∅), F(C∖e), F(C + e_r), F(C_r) and F(C_k) ablate the
whole scope and keep some features; F(M∖C) and F(M∖C_r) put only the features themselves to their
means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tracer.engine.ablation import Kept, Reference
from tracer.engine.attribution.targets import direction_of
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.cache import StepForm, cause_of, remembered
from tracer.engine.features.places import Place
from tracer.engine.forward import Measured, read_of_rows
from tracer.engine.measure.circuit_members import Member
from tracer.engine.measure.circuit_setup import PreparedCircuit, metric_of
from tracer.engine.progress import Advance
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.studies.circuit import SHARES
from tracer.record.arrays import Arrays, circuit_key
from tracer.record.trials import CircuitRecord, CircuitScores, CircuitTrial


class MeasuredCircuit(NamedTuple):
    """One prompt's scores and their arrays."""

    trial: CircuitTrial
    arrays: Arrays


def circuit_record(circuit: PreparedCircuit) -> CircuitRecord:
    """What the circuit is; no prompt of it is measured yet."""
    ranking = circuit.ranking
    return CircuitRecord(
        n_members=len(circuit.members),
        n_outside=circuit.n_outside,
        groups=tuple(name for name, _ in circuit.groups),
        n_random=len(circuit.random),
        n_fillers=len(circuit.fillers),
        n_items=len(ranking.places) if ranking else 0,
        sizes=ranking.sizes if ranking else (),
        ranked_on=circuit.ranked_on,
        notes=circuit.notes,
    )


def n_circuit_rows(circuit: PreparedCircuit) -> int:
    """How many rows a prompt of the circuit takes."""
    drawn = 2 * len(circuit.random) + len(circuit.fillers)
    return 3 + len(circuit.groups) + drawn + (len(SHARES) if circuit.ranking else 0)


def measure_circuit(
    context: MeasurementContext,
    circuit: PreparedCircuit,
    prompt: str,
    limit: BatchLimit,
    advance: Advance,
) -> MeasuredCircuit:
    """Run all rows of a circuit on a prompt."""
    problem = circuit.problems.get(prompt)
    positions = circuit.scope.get(prompt, range(0))
    places = _places(circuit.members, prompt)
    if problem is None and not places:
        problem = "no feature of the circuit has a place in the scope on this prompt"
    trial = CircuitTrial(
        prompt=prompt,
        n_features=len(places),
        positions=(positions.start, positions.stop),
        scores=None,
        problem=problem,
    )
    if problem is not None or circuit.reference is None:
        return MeasuredCircuit(trial, {})
    base = circuit.reference.between(positions.start, positions.stop)
    sets = _sets(circuit, prompt, base, places)
    found = _run(context, circuit, prompt, sets, limit, advance)
    whole = metric_of(context, circuit.spec, prompt)(context.clean[prompt].logits)
    scores = CircuitScores(
        whole=float(whole),
        empty=float(found["empty"][0]),
        circuit=float(found["circuit"][0]),
        rest=float(found["rest"][0]),
    )
    arrays: dict[str, Any] = {
        circuit_key(circuit.name, prompt, what): found[what]
        for what in ("random", "random_rest", "without", "filler", "curve")
    }
    return MeasuredCircuit(trial.model_copy(update={"scores": scores}), arrays)


def _sets(
    circuit: PreparedCircuit, prompt: str, base: Reference, places: list[Place]
) -> dict[str, list[Row]]:
    """The rows of each kind."""

    def keep(kept: Iterable[Place]) -> Row:
        return Row({}, kept=Kept(base, _by_layer(kept)))

    def take_out(these: Iterable[Place]) -> Row:
        means = {(n, pos, i): base.features[n][pos - base.start, i] for n, pos, i in these}
        return Row({place: float(mean) for place, mean in means.items()})

    random = [_places(drawn, prompt) for drawn in circuit.random]
    left_out = [set(_places(group, prompt)) for _, group in circuit.groups]
    ranking = circuit.ranking
    firsts = [ranking.first(n, base) for n in ranking.sizes] if ranking else []
    return {
        "empty": [keep(())],
        "circuit": [keep(places)],
        "rest": [take_out(places)],
        "random": [keep(drawn) for drawn in random],
        "random_rest": [take_out(drawn) for drawn in random],
        "without": [keep(p for p in places if p not in gone) for gone in left_out],
        "filler": [keep({*places, *_places(drawn, prompt)}) for drawn in circuit.fillers],
        "curve": [Row({}, kept=Kept(base, first)) for first in firsts],
    }


def _run(
    context: MeasurementContext,
    circuit: PreparedCircuit,
    prompt: str,
    sets: dict[str, list[Row]],
    limit: BatchLimit,
    advance: Advance,
) -> dict[str, np.ndarray]:
    """The metric under each row, by kind."""
    clean, read = context.clean[prompt], metric_of(context, circuit.spec, prompt)
    rows = [row for each in sets.values() for row in each]

    def values() -> np.ndarray:
        found = torch.zeros(len(rows), dtype=torch.float64)

        def score(measured: Measured) -> tuple[list[int], Tensor]:
            return measured.rows, read(measured.logits).double().cpu()

        of = (context.model, context.basis, clean, rows, limit)
        for numbers, scores in read_of_rows(*of, score):
            found[numbers] = scores
            advance(len(numbers))
        return found.numpy()

    def cause() -> list[Any]:
        return _cause(context, circuit, prompt, rows, limit)

    found = remembered(context.cache, "circuit", cause, _form(len(rows)), limit, values)
    advance(len(rows) if found.from_cache else 0)
    ends = np.cumsum([len(each) for each in sets.values()])[:-1]
    parts = np.split(found.result, ends)
    return {kind: part.copy() for kind, part in zip(sets, parts, strict=True)}


def _cause(
    context: MeasurementContext,
    circuit: PreparedCircuit,
    prompt: str,
    rows: list[Row],
    limit: BatchLimit,
) -> list[Any]:
    """The rows, what they ablate to, and what is read off them."""
    clean = context.clean[prompt]
    base = next(row.kept.base for row in rows if row.kept is not None)
    causes = [
        [
            cause_of(Row(row.values, row.freeze, row.read, row.is_control), clean),
            row.kept and {str(n): places.tolist() for n, places in row.kept.places.items()},
        ]
        for row in rows
    ]
    metric = direction_of(circuit.spec.metric, context.hypothesis.prompts[prompt], clean.prompt)
    return [clean.prompt.ids, limit.rows, metric, base.digest(), causes]


def _form(n_rows: int) -> StepForm[np.ndarray]:
    def unpack(entry: StoredEntry) -> np.ndarray:
        values = entry.arrays["values"]
        if values.shape != (n_rows,) or values.dtype != np.float64:
            raise ValueError("an entry of other rows")
        return values

    return StepForm(lambda values: StoredEntry({"values": values}, None), unpack)


def _places(members: Iterable[Member], prompt: str) -> list[Place]:
    found = (member.place(prompt) for member in members)
    return list(dict.fromkeys(place for place in found if place is not None))


def _by_layer(places: Iterable[Place]) -> dict[int, Int[Tensor, "_ 2"]]:
    by_layer: dict[int, list[tuple[int, int]]] = {}
    for layer, pos, index in sorted(places):
        by_layer.setdefault(layer, []).append((pos, index))
    return {layer: torch.tensor(found) for layer, found in by_layer.items()}
