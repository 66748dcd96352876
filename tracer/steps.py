"""The steps of a run once its record has begun: graphs, circuits, shared features, interventions.

What was measured is written after every prompt, so a killed run goes on where it stopped.
"""

from __future__ import annotations

import time
from pathlib import Path

from tracer import runs
from tracer.arrays import Arrays, Observed
from tracer.circuit_measure import circuit_record, measure_circuit, n_circuit_rows
from tracer.circuit_setup import set_up
from tracer.graph.files import write as write_graph
from tracer.graph_measure import measure_graph
from tracer.hypothesis.expansion import measured
from tracer.intervention import batch_limit
from tracer.measure import Bench, Measurement, measure_prompt, n_rows
from tracer.progress import Progress
from tracer.record import InterventionRecord, Record
from tracer.shared_measure import measure_shared
from tracer.text_measure import n_texts, with_texts


class Clock:
    """Wall time by step, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def stop(self, step: str) -> None:
        """Put the time since the last stop down to a step."""
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 3)
        self._last = now


def measure_declared(
    folder: Path, observed: Observed, bench: Bench, clock: Clock, progress: Progress
) -> Observed:
    """Measure everything that a record lacks of what its hypothesis declares."""
    record, arrays = observed
    record = _measure_graphs(folder, record, arrays, bench, progress)
    clock.stop("graphs")
    record, arrays = _measure_circuits(folder, record, arrays, bench, progress)
    clock.stop("circuits")
    record, arrays = _measure_shared(folder, record, arrays, bench, progress)
    clock.stop("shared")
    record, arrays = _measure_all(folder, record, arrays, bench, progress)
    clock.stop("measure")
    return Observed(record, arrays)


def _measure_graphs(
    folder: Path, record: Record, arrays: Arrays, bench: Bench, progress: Progress
) -> Record:
    """Build the graphs that are still missing, writing after each."""
    spec = bench.hypothesis.graph
    for prompt in spec.prompts if spec else ():
        if prompt in record.graphs:
            continue
        found = measure_graph(bench, prompt, progress)
        write_graph(folder / found.record.file, found.pruned)
        record = record.model_copy(update={"graphs": record.graphs | {prompt: found.record}})
        runs.write(folder, record, arrays)
    return record


def _measure_circuits(
    folder: Path, record: Record, arrays: Arrays, bench: Bench, progress: Progress
) -> tuple[Record, Arrays]:
    """Measure the prompts of circuits that are still missing, writing after each."""
    for name, spec in bench.hypothesis.circuit.items():
        done = record.circuit[name].trials if name in record.circuit else {}
        todo = [prompt for prompt in spec.prompts if prompt not in done]
        if not todo:
            continue
        circuit = set_up(bench, name)
        kept = record.circuit.get(name) or circuit_record(circuit)
        with progress.task(f"circuit {name}", len(todo) * n_circuit_rows(circuit)) as advance:
            for prompt in todo:
                limit = batch_limit(bench.model, bench.clean[prompt])
                trial, found = measure_circuit(bench, circuit, prompt, limit, advance)
                kept = kept.model_copy(update={"trials": kept.trials | {prompt: trial}})
                record = record.model_copy(update={"circuit": record.circuit | {name: kept}})
                arrays = {**arrays, **found}
                runs.write(folder, record, arrays)
    return record, arrays


def _measure_shared(
    folder: Path, record: Record, arrays: Arrays, bench: Bench, progress: Progress
) -> tuple[Record, Arrays]:
    """Measure the shared representations that are still missing, writing after each."""
    for name, spec in bench.hypothesis.shared.items():
        if name in record.shared:
            continue
        with progress.task(f"active features of {name}", len(spec.prompts)) as advance:
            found = measure_shared(bench, name, advance)
        record = record.model_copy(update={"shared": record.shared | {name: found.record}})
        arrays = {**arrays, **found.arrays}
        runs.write(folder, record, arrays)
    return record, arrays


def _measure_all(
    folder: Path, record: Record, arrays: Arrays, bench: Bench, progress: Progress
) -> tuple[Record, Arrays]:
    """Measure the prompts that are still missing, writing after each."""
    todo = _unmeasured(record)
    declared = bench.hypothesis
    total = sum(n_rows(declared, prompt) + n_texts(declared, prompt) for prompt in todo)
    fits: int | None = None  # rows that memory was found to hold, once it ran out
    with progress.task("clamping", total) as advance:
        for prompt in todo:
            limit = batch_limit(bench.model, bench.clean[prompt])
            limit.rows = min(limit.rows, fits or limit.rows)
            found = measure_prompt(bench, prompt, limit, advance)
            found = with_texts(bench, prompt, found, limit, advance)
            notes = list(found.notes)
            if limit.halved:
                fits = limit.rows
                notes.append(f"{prompt}: memory ran out; batches were cut to {limit.rows} rows")
            record = _with_trials(record, prompt, found, notes)
            arrays = {**arrays, **found.arrays}
            runs.write(folder, record, arrays)
    return record, arrays


def _unmeasured(record: Record) -> list[str]:
    """Prompts of which an intervention has no trial yet, in the file's order."""
    wanted = {
        prompt
        for name, spec in measured(record.hypothesis).items()
        for prompt in spec.prompts
        if name not in record.interventions or prompt not in record.interventions[name].trials
    }
    return [prompt for prompt in record.hypothesis.prompts if prompt in wanted]


def _with_trials(record: Record, prompt: str, found: Measurement, notes: list[str]) -> Record:
    interventions = dict(record.interventions)
    for name, trial in found.trials.items():
        before = interventions.get(name, InterventionRecord(name=name, trials={}))
        interventions[name] = InterventionRecord(name=name, trials=before.trials | {prompt: trial})
    update = {
        "interventions": interventions,
        "notes": (*record.notes, *notes),
        "cached": (*record.cached, *found.cached),
    }
    return record.model_copy(update=update)
