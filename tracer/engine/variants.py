"""Measure the variations of a hypothesis: each a record of its own, inside the run's folder.

Each is resolved, measured and written by the code that did the run, on the model that is open
already: a kill leaves whole ones whole, and the next run takes up the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tracer.engine.measure.declared import measure_declared
from tracer.engine.new_record import begin_record
from tracer.engine.progress import Clock
from tracer.engine.resolve import MeasurementContext
from tracer.engine.session import MeasurementSession
from tracer.errors import EngineError, HypothesisError
from tracer.hypothesis.implied import Variation, variations
from tracer.hypothesis.load import HypothesisFile
from tracer.record import run_folder
from tracer.record.arrays import Observed
from tracer.record.lock import Lock
from tracer.record.record import Record, VariantRecord
from tracer.record.run_folder import variant_folder


def measure_variants(
    file: HypothesisFile,
    folder: Path,
    run: Observed,
    session: MeasurementSession,
    known: MeasurementContext,
) -> Record:
    """Measure the variations that are still missing, writing after each; `known` is the run's.

    What goes wrong with one is its `problem`; the others go on.
    """
    record, todo = run.record, list(_missing(folder, run.record))
    for n, each in enumerate(todo, 1):
        if each.skipped is None:
            label = f"variation {n} of {len(todo)}, {each.name}: {each.change}"
            session.progress.note(label)
        done = _measured(file, folder, record, each, session, known)
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
    told = (found.record.fingerprint, found.record.status) if found else None
    return told == (fingerprint, "complete")


def _measured(
    file: HypothesisFile,
    folder: Path,
    run: Record,
    variation: Variation,
    session: MeasurementSession,
    known: MeasurementContext,
) -> VariantRecord:
    """Measure one, or say why not."""
    entry = VariantRecord(axis=variation.axis, change=variation.change, fingerprint=None)
    skipped = variation.skipped or _needs_rules(variation, session.lock)
    if skipped is not None:
        return entry.model_copy(update={"skipped": skipped})
    varied = replace(file, hypothesis=variation.hypothesis)
    try:
        context = session.context(varied, _lock(run, variation, session.lock), known)
        skipped = _same_features(variation, context.supernodes, folder, run)
        if skipped is not None:
            return entry.model_copy(update={"skipped": skipped})
        fingerprint = _measure(varied, folder, run, variation, context, session)
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
    return {name: supernode.members for name, supernode in lock.items()}


def _measure(
    file: HypothesisFile,
    folder: Path,
    run: Record,
    variation: Variation,
    context: MeasurementContext,
    session: MeasurementSession,
) -> str:
    """Measure one from where an earlier attempt stopped; gives its fingerprint."""
    clock = Clock()
    inner = variant_folder(folder, variation.name)
    id_ = f"{run.id}/{inner.parent.name}/{inner.name}"
    record = begin_record(file, context, session.opened.features, id_)
    begun = run_folder.observed(inner)
    if begun is None or begun.record.fingerprint != record.fingerprint:
        begun = Observed(record, {})
    inner.mkdir(parents=True, exist_ok=True)
    run_folder.write(inner, *begun)
    found = measure_declared(inner, begun, context, clock, session.progress)
    whole = found.record.model_copy(update={"status": "complete", "seconds": clock.seconds})
    run_folder.write(inner, whole, found.arrays)
    return record.fingerprint


def _sentence(error: HypothesisError | EngineError) -> str:
    if isinstance(error, HypothesisError):
        return "; ".join(mistake.message for mistake in error.mistakes)
    return str(error)
