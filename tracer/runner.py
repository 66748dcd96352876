"""The straight line of a run: open, resolve, measure, write.

The only place where the torch leg (model, features, supernodes, interventions) meets the
torch-free one (record, run folder). What was measured is written after every prompt, so a killed
run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeGuard

from tracer import runs
from tracer.arrays import Arrays
from tracer.circuit_measure import circuit_record, measure_circuit, n_circuit_rows
from tracer.circuit_setup import set_up
from tracer.environment import environment
from tracer.features.open_basis import OpenBasis
from tracer.graph.files import write as write_graph
from tracer.graph_measure import measure_graph
from tracer.hypothesis.expansion import measured
from tracer.hypothesis.load import HypothesisFile
from tracer.intervention import batch_limit
from tracer.lock import changes, reusable
from tracer.measure import Bench, Measurement, measure_prompt, n_rows
from tracer.measurement_store import Store
from tracer.opened import open_both
from tracer.progress import Progress
from tracer.readings import reading
from tracer.record import BasisRecord, InterventionRecord, ModelRecord, PromptRecord, Record
from tracer.resolve import left_out, open_bench
from tracer.row_cache import RowCache, identity
from tracer.shared_measure import measure_shared
from tracer.text_measure import n_texts, with_texts
from tracer.tokens import tokenize


def measure(
    file: HypothesisFile,
    *,
    reports: Path,
    lock: Path | None = None,
    fresh: bool = False,
    store: Store | None = None,
    progress: Progress,
) -> Path:
    """Measure everything a hypothesis declares; returns its run folder.

    Args:
        file: The hypothesis.
        reports: Folder that holds the runs, by hypothesis.
        lock: A run folder whose supernodes are reused instead of being found again.
        fresh: Start anew even where an unfinished run could be continued.
        store: Where measurements are looked for before they are made, and kept; None: nowhere.
        progress: Hears about every step that takes long.

    Raises:
        HypothesisError: A token, span or feature id that this model does not have.
        ModelUnavailable: The model cannot be had here.
        EngineError: The model gives no finite logits, or memory does not hold one row.
        UsageError: The lock does not fit.
    """
    clock = _Clock()
    hypothesis = file.hypothesis
    opened = open_both(hypothesis.model_spec, hypothesis.features, progress)
    model = opened.model
    prompts = tokenize(file, model.tokenizer, model.context)
    clock.stop("load")
    reused = None
    if lock is not None:
        names = set(hypothesis.supernodes)
        reused = reusable(
            runs.read_record(lock), names, opened.basis.name, model.record.fingerprint
        )
    bench = open_bench(file, model, opened.basis, prompts, reused, progress)
    if store is not None:
        of = identity(model.record, opened.features, environment())
        bench = replace(bench, row_cache=RowCache(store, of))
    clock.stop("resolve")
    folder, record, arrays = _begin(
        file, bench, opened.features, reports, fresh=fresh, progress=progress
    )
    record = _measure_graphs(folder, record, arrays, bench, progress)
    clock.stop("graphs")
    record, arrays = _measure_circuits(folder, record, arrays, bench, progress)
    clock.stop("circuits")
    record, arrays = _measure_shared(folder, record, arrays, bench, progress)
    clock.stop("shared")
    record, arrays = _measure_all(folder, record, arrays, bench, progress)
    clock.stop("measure")
    complete = record.model_copy(update={"status": "complete", "seconds": clock.seconds})
    runs.write(folder, complete, arrays)
    if store is not None:
        _tell(store, complete, progress)
    return folder


def _tell(store: Store, record: Record, progress: Progress) -> None:
    """What the cache was good for, and what it could not keep."""
    if record.cached:
        total = sum(len(each.trials) for each in record.interventions.values())
        progress.note(f"{len(record.cached)} of {total} trials came from the cache")
    if store.failed is not None:
        progress.note(f"measurements were not all kept for later runs: {store.failed}")


class _Clock:
    """Wall time by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def stop(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step] = round(now - self._last, 3)
        self._last = now


def _begin(
    file: HypothesisFile,
    bench: Bench,
    opened: OpenBasis,
    reports: Path,
    *,
    fresh: bool,
    progress: Progress,
) -> tuple[Path, Record, Arrays]:
    """A new run folder, or the unfinished one that measures exactly the same."""
    record = _new_record(file, bench, opened, reports)
    unfinished = None if fresh else runs.unfinished(reports, record)
    if unfinished is not None:
        older = runs.read_record(unfinished)
        progress.note(f"continuing unfinished run {older.id}")
        return unfinished, older, dict(runs.read_arrays(unfinished))
    return runs.create(reports, record), record, {}


def _new_record(file: HypothesisFile, bench: Bench, opened: OpenBasis, reports: Path) -> Record:
    hypothesis = file.hypothesis
    now = datetime.now(UTC)
    declared = hypothesis.model_dump_json(by_alias=True, exclude_none=True)
    lock = {name: s.model_dump(mode="json") for name, s in sorted(bench.supernodes.items())}
    here = environment()
    dictionary = _dictionary(opened)
    parts = [json.loads(declared), lock, _model_key(bench.model.record), here.tracer]
    if dictionary is not None:
        parts.append([dictionary.fingerprint, dictionary.revision])
    fingerprint = _sha256(json.dumps(parts))
    older = runs.latest(reports, hypothesis.hypothesis)
    return Record(
        id=runs.new_id(hypothesis.hypothesis, now, fingerprint),
        status="measuring",
        started=now.isoformat(timespec="seconds"),
        hypothesis=hypothesis,
        yaml=file.text,
        file=file.path,
        overrides=file.overrides,
        sha256=_sha256(declared),
        fingerprint=fingerprint,
        model=bench.model.record,
        basis=bench.basis.name,
        dictionary=dictionary,
        environment=here,
        prompts={name: _prompt_record(bench, name) for name in bench.clean},
        supernodes=dict(bench.supernodes),
        lock_notes=changes(older, bench.supernodes) if _is_alike(older, bench) else (),
        notes=left_out(hypothesis, bench.basis),
    )


def _is_alike(older: Record | None, bench: Bench) -> TypeGuard[Record]:
    """Whether a run's features mean what this one's do."""
    of = None if older is None else (older.model.name, older.basis)
    return of == (bench.model.record.name, bench.basis.name)


def _dictionary(opened: OpenBasis) -> BasisRecord | None:
    if opened.fingerprint is None and opened.revision is None:
        return None
    return BasisRecord(
        source=opened.source, revision=opened.revision, fingerprint=opened.fingerprint
    )


def _model_key(model: ModelRecord) -> list[str]:
    return [model.fingerprint, model.dtype, model.device]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _prompt_record(bench: Bench, name: str) -> PromptRecord:
    clean = bench.clean[name]
    spec = bench.hypothesis.prompts[name]
    prompt = clean.prompt
    return PromptRecord(
        name=name,
        text=prompt.text,
        token_ids=prompt.ids,
        tokens=prompt.tokens,
        spans=dict(prompt.spans),
        answer=spec.answer,
        held_out=spec.held_out,
        baseline=reading(clean.logits, prompt.asked, bench.model.tokenizer),
    )


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
