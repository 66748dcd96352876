"""The steps of a run once its record has begun: graphs, circuits, shared features, interventions.

What was measured is written after every prompt, so a killed run goes on where it stopped.

Measure the variations of a hypothesis: each a record of its own, inside the run's folder.

Each is opened, resolved, measured and saved by the code that did the run, on the model that is open
already: a kill leaves whole ones whole, and the next run takes up the rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tracer.engine.forward import batch_limit
from tracer.engine.measure.circuit_setup import set_up
from tracer.engine.measure.circuits import circuit_record, measure_circuit, n_circuit_rows
from tracer.engine.measure.graphs import measure_graph
from tracer.engine.measure.prompts import Measurement, MeasurementContext, measure_prompt, n_rows
from tracer.engine.measure.shared import measure_shared
from tracer.engine.measure.texts import n_texts, with_texts
from tracer.engine.new_record import variant_record
from tracer.engine.progress import Progress
from tracer.engine.session import Session
from tracer.errors import EngineError, HypothesisError
from tracer.hypothesis.implied import Variation, all_interventions, variations
from tracer.hypothesis.load import HypothesisFile
from tracer.record import run_folder
from tracer.record.arrays import Arrays, Observed
from tracer.record.graph.files import write as write_graph
from tracer.record.lock import Lock
from tracer.record.record import Record, VariantRecord
from tracer.record.run_folder import variant_folder
from tracer.record.trials import InterventionRecord


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
    folder: Path, observed: Observed, bench: MeasurementContext, clock: Clock, progress: Progress
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
    folder: Path, record: Record, arrays: Arrays, bench: MeasurementContext, progress: Progress
) -> Record:
    """Build the graphs that are still missing, writing after each."""
    spec = bench.hypothesis.graph
    for prompt in spec.prompts if spec else ():
        if prompt in record.graphs:
            continue
        found = measure_graph(bench, prompt, progress)
        write_graph(folder / found.record.file, found.pruned)
        record = record.model_copy(update={"graphs": record.graphs | {prompt: found.record}})
        run_folder.write(folder, record, arrays)
    return record


def _measure_circuits(
    folder: Path, record: Record, arrays: Arrays, bench: MeasurementContext, progress: Progress
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
                run_folder.write(folder, record, arrays)
    return record, arrays


def _measure_shared(
    folder: Path, record: Record, arrays: Arrays, bench: MeasurementContext, progress: Progress
) -> tuple[Record, Arrays]:
    """Measure the shared representations that are still missing, writing after each."""
    for name, spec in bench.hypothesis.shared.items():
        if name in record.shared:
            continue
        with progress.task(f"active features of {name}", len(spec.prompts)) as advance:
            found = measure_shared(bench, name, advance)
        record = record.model_copy(update={"shared": record.shared | {name: found.record}})
        arrays = {**arrays, **found.arrays}
        run_folder.write(folder, record, arrays)
    return record, arrays


def _measure_all(
    folder: Path, record: Record, arrays: Arrays, bench: MeasurementContext, progress: Progress
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
            run_folder.write(folder, record, arrays)
    return record, arrays


def _unmeasured(record: Record) -> list[str]:
    """Prompts of which an intervention has no trial yet, in the file's order."""
    wanted = {
        prompt
        for name, spec in all_interventions(record.hypothesis).items()
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


def measure_variants(
    file: HypothesisFile, folder: Path, run: Observed, session: Session, known: MeasurementContext
) -> Record:
    """Measure the variations that are still missing, writing after each; `known` is the run's.

    What goes wrong with one is its `problem`; the others go on.
    """
    record, todo = run.record, list(_missing(folder, run.record))
    for n, each in enumerate(todo, 1):
        if each.skipped is None:
            label = f"variation {n} of {len(todo)}, {each.name}: {each.change}"
            session.progress.note(label)
        done = _done(file, folder, record, each, session, known)
        record = record.model_copy(update={"variants": record.variants | {each.name: done}})
        run_folder.write(folder, record, run.arrays)
    return record


def _missing(folder: Path, record: Record) -> Iterator[Variation]:
    for each in variations(record.hypothesis):
        done = record.variants.get(each.name)
        if done is None or (
            done.fingerprint is not None
            and not _is_whole(variant_folder(folder, each.name), done.fingerprint)
        ):
            yield each


def _is_whole(folder: Path, fingerprint: str) -> bool:
    found = run_folder.observed(folder)
    return (
        found is not None
        and found.record.fingerprint == fingerprint
        and found.record.status == "complete"
    )


def _done(
    file: HypothesisFile,
    folder: Path,
    run: Record,
    variation: Variation,
    session: Session,
    known: MeasurementContext,
) -> VariantRecord:
    """Measure one, or say why not."""
    entry = VariantRecord(axis=variation.axis, change=variation.change, fingerprint=None)
    skipped = variation.skipped or _needs_rules(variation, session.lock)
    if skipped is not None:
        return entry.model_copy(update={"skipped": skipped})
    varied = replace(file, hypothesis=variation.hypothesis)
    try:
        bench = session.bench(varied, _lock(run, variation, session.lock), known)
        skipped = _same_features(variation, bench.supernodes, folder, run)
        if skipped is not None:
            return entry.model_copy(update={"skipped": skipped})
        fingerprint = _measure(varied, folder, run, variation, bench, session)
    except (HypothesisError, EngineError) as error:
        return entry.model_copy(update={"problem": _sentence(error)})
    return entry.model_copy(update={"fingerprint": fingerprint})


def _needs_rules(variation: Variation, lock: Lock | None) -> str | None:
    if lock is None or variation.axis not in ("size", "left out"):
        return None
    return "the supernodes were taken from another run, so no rule was followed"


def _lock(run: Record, variation: Variation, lock: Lock | None) -> Lock | None:
    """Supernodes are found anew, except where only chance is otherwise."""
    return run.supernodes if variation.axis == "seed" else lock


def _same_features(variation: Variation, lock: Lock, folder: Path, run: Record) -> str | None:
    """Why another size is no variation: a rule that ran out of features found the same again."""
    if variation.axis != "size":
        return None
    if _features(lock) == _features(run.supernodes):
        return "the rules find no more features than at the file's own size"
    for name, other in run.variants.items():
        if other.axis != "size" or other.fingerprint is None or name == variation.name:
            continue
        found = run_folder.observed(variant_folder(folder, name))
        if found is not None and _features(found.record.supernodes) == _features(lock):
            return f"the rules find the same features as in {name}"
    return None


def _features(lock: Lock) -> dict[str, object]:
    return {name: supernode.features for name, supernode in lock.items()}


def _measure(
    file: HypothesisFile,
    folder: Path,
    run: Record,
    variation: Variation,
    bench: MeasurementContext,
    session: Session,
) -> str:
    """Measure one from where an earlier attempt stopped; gives its fingerprint."""
    clock = Clock()
    inner = variant_folder(folder, variation.name)
    record = variant_record(
        file, bench, session.opened.features, f"{run.id}/{inner.parent.name}/{inner.name}"
    )
    begun = run_folder.observed(inner)
    if begun is None or begun.record.fingerprint != record.fingerprint:
        begun = Observed(record, {})
    inner.mkdir(parents=True, exist_ok=True)
    run_folder.write(inner, *begun)
    found = measure_declared(inner, begun, bench, clock, session.progress)
    whole = found.record.model_copy(update={"status": "complete", "seconds": clock.seconds})
    run_folder.write(inner, whole, found.arrays)
    return record.fingerprint


def _sentence(error: HypothesisError | EngineError) -> str:
    if isinstance(error, HypothesisError):
        return "; ".join(mistake.message for mistake in error.mistakes)
    return str(error)
