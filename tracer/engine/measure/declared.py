"""Measure what a hypothesis declares: graphs, circuits, shared representations, interventions.

Second to last step of a run's line: load → open → resolve → measure → write. What was measured is
written after every prompt, so a killed run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import partial
from pathlib import Path

from tracer.engine.batches import batch_limit
from tracer.engine.measure.circuit_setup import prepare_circuit
from tracer.engine.measure.circuits import circuit_record, measure_circuit, n_circuit_rows
from tracer.engine.measure.graphs import measure_graphs
from tracer.engine.measure.neutral import with_neutral
from tracer.engine.measure.prompts import Measurement, measure_prompt, n_rows
from tracer.engine.measure.python import with_python
from tracer.engine.measure.rivals import with_rivals
from tracer.engine.measure.shared import measure_shared
from tracer.engine.measure.texts import n_texts, with_texts
from tracer.engine.memory import memory_told
from tracer.engine.progress import Clock, Progress
from tracer.engine.resolve import MeasurementContext
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import CircuitSpec
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.record import run_folder
from tracer.record.arrays import Observed
from tracer.record.graph.files import write as write_graph
from tracer.record.record import Record
from tracer.record.testable import setup_problem
from tracer.record.trials import InterventionRecord


def measure_declared(
    folder: Path,
    observed: Observed,
    context: MeasurementContext,
    clock: Clock,
    progress: Progress,
    *,
    keep_going: bool = False,
) -> Observed:
    """Measure everything that a record lacks of what its hypothesis declares.

    What nothing can be judged of is left out, unless to `keep_going` is asked for; where that is
    all, graphs are left out too.
    """
    left_out = {} if keep_going else _untestable(observed.record)
    steps = {
        "graphs": _measure_graphs,
        "circuits": _measure_circuits,
        "shared": _measure_shared,
        "measure": partial(_measure_interventions, left_out=left_out),
    }
    if left_out and not _is_anything_left(observed.record.hypothesis, left_out):
        progress.note(_NOTHING)
        steps = {"measure": steps["measure"]}
    for name, measure in steps.items():
        with memory_told(f"what the step {name!r} takes outside of its batches"):
            observed = measure(folder, observed, context, progress)
        clock.stop(name)
    return observed


_NOTHING = (
    "nothing can be tested: the model does not answer these prompts, or those that activations "
    "come from, as the file says. It ends here; `--keep-going` measures all."
)


def _untestable(record: Record) -> dict[str, set[str]]:
    """By prompt, interventions of which nothing can be judged, whatever is measured."""
    found: dict[str, set[str]] = {}
    for name, spec in all_interventions(record.hypothesis).items():
        for prompt in spec.prompts:
            if setup_problem(record, spec, prompt) is not None:
                found.setdefault(prompt, set()).add(name)
    return found


def _is_anything_left(hypothesis: Hypothesis, left_out: Mapping[str, Container[str]]) -> bool:
    """Whether a file has an intervention that is not left out, or something of another kind."""
    if hypothesis.studies_of(CircuitSpec) or hypothesis.studies_of(SharedSpec):
        return True
    if hypothesis.graph is not None and hypothesis.graph.expect:
        return True
    return any(
        name not in left_out.get(prompt, ())
        for name, spec in all_interventions(hypothesis).items()
        for prompt in spec.prompts
    )


def _measure_graphs(
    folder: Path, observed: Observed, context: MeasurementContext, progress: Progress
) -> Observed:
    record, arrays = observed
    spec = context.hypothesis.graph
    todo = [prompt for prompt in (spec.prompts if spec else ()) if prompt not in record.graphs]
    for prompt, found in measure_graphs(context, todo, progress).items() if todo else ():
        write_graph(folder / found.record.file, found.pruned)
        record = record.model_copy(update={"graphs": record.graphs | {prompt: found.record}})
        run_folder.write(folder, record, arrays)
    return Observed(record, arrays)


def _measure_circuits(
    folder: Path, observed: Observed, context: MeasurementContext, progress: Progress
) -> Observed:
    record, arrays = observed
    for name, spec in context.hypothesis.studies_of(CircuitSpec).items():
        done = record.circuit[name].trials if name in record.circuit else {}
        todo = [prompt for prompt in spec.prompts if prompt not in done]
        if not todo:
            continue
        circuit = prepare_circuit(context, name)
        kept = record.circuit.get(name) or circuit_record(circuit)
        with progress.task(f"circuit {name}", len(todo) * n_circuit_rows(circuit)) as advance:
            for prompt in todo:
                limit = batch_limit(context.model, context.clean[prompt])
                trial, found = measure_circuit(context, circuit, prompt, limit, advance)
                kept = kept.model_copy(update={"trials": kept.trials | {prompt: trial}})
                record = record.model_copy(update={"circuit": record.circuit | {name: kept}})
                arrays = {**arrays, **found}
                run_folder.write(folder, record, arrays)
    return Observed(record, arrays)


def _measure_shared(
    folder: Path, observed: Observed, context: MeasurementContext, progress: Progress
) -> Observed:
    record, arrays = observed
    for name, spec in context.hypothesis.studies_of(SharedSpec).items():
        if name in record.shared:
            continue
        with progress.task(f"active features of {name}", len(spec.prompts)) as advance:
            found = measure_shared(context, name, advance)
        record = record.model_copy(update={"shared": record.shared | {name: found.record}})
        arrays = {**arrays, **found.arrays}
        run_folder.write(folder, record, arrays)
    return Observed(record, arrays)


def _measure_interventions(
    folder: Path,
    observed: Observed,
    context: MeasurementContext,
    progress: Progress,
    left_out: Mapping[str, Container[str]],
) -> Observed:
    record, arrays = observed
    todo = _unmeasured(record)
    declared = context.hypothesis
    not_on = {prompt: left_out.get(prompt, ()) for prompt in todo}
    total = sum(n_rows(declared, p, no) + n_texts(declared, p, no) for p, no in not_on.items())
    fits: int | None = None  # rows that memory was found to hold, once it ran out
    with progress.task("clamping", total) as advance:
        for prompt in todo:
            limit = batch_limit(context.model, context.clean[prompt])
            limit.rows = min(limit.rows, fits or limit.rows)
            found = measure_prompt(context, prompt, limit, advance, not_on[prompt])
            found = with_texts(context, prompt, found, limit, advance)
            found = with_neutral(context, prompt, found, limit)
            found = with_rivals(context, prompt, found, limit)
            found = with_python(context, prompt, found)
            if limit.halved:
                fits = limit.rows
                found.notes.append(
                    f"{prompt}: memory ran out; batches were cut to {limit.rows} rows"
                )
            record = _with_trials(record, prompt, found)
            arrays = {**arrays, **found.arrays}
            run_folder.write(folder, record, arrays)
    return Observed(record, arrays)


def _unmeasured(record: Record) -> list[str]:
    """Prompts of which an intervention has no trial yet, in the file's order."""
    wanted = {
        prompt
        for name, spec in all_interventions(record.hypothesis).items()
        for prompt in spec.prompts
        if name not in record.interventions or prompt not in record.interventions[name].trials
    }
    return [prompt for prompt in record.hypothesis.prompts if prompt in wanted]


def _with_trials(record: Record, prompt: str, found: Measurement) -> Record:
    interventions = dict(record.interventions)
    for name, trial in found.trials.items():
        before = interventions.get(name, InterventionRecord(name=name, trials={}))
        interventions[name] = InterventionRecord(name=name, trials=before.trials | {prompt: trial})
    update = {
        "interventions": interventions,
        "notes": (*record.notes, *found.notes),
        "cached": (*record.cached, *found.cached),
        "known_before": (*record.known_before, *found.known),
    }
    return record.model_copy(update=update)
