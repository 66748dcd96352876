"""The straight line of a run: load → open → resolve → measure → write, from *open* on.

The only place where the torch leg (model, features, supernodes, interventions) meets the
torch-free one (record, run folder). A killed run goes on where it stopped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tracer.engine.features.open import OpenBasis
from tracer.engine.last_opened import LastOpened
from tracer.engine.measure.declared import measure_declared
from tracer.engine.new_record import new_record
from tracer.engine.progress import Clock, Progress
from tracer.engine.resolve import MeasurementContext
from tracer.engine.session import Opened, Session, locked, open_both
from tracer.engine.store import Store
from tracer.engine.variants import measure_variants
from tracer.hypothesis.load import HypothesisFile
from tracer.record import run_folder, runs
from tracer.record.arrays import Observed
from tracer.record.record import Record
from tracer.record.registration import register


def measure(
    file: HypothesisFile,
    *,
    reports: Path,
    lock: Path | None = None,
    fresh: bool = False,
    store: Store | None = None,
    last: LastOpened[Opened] | None = None,
    progress: Progress,
) -> Path:
    """Measure everything a hypothesis declares; returns its run folder.

    Args:
        file: The hypothesis.
        reports: Folder that holds the runs, by hypothesis.
        lock: A run folder whose supernodes are reused instead of being found again.
        fresh: Start anew even where an unfinished run could be continued.
        store: Where measurements are looked for before they are made, and kept; None: nowhere.
        last: Holds the model of the file before, which is taken where this one asks for it.
        progress: Hears about every step that takes long.

    Raises:
        HypothesisError: A token, span or feature id that this model does not have.
        ModelUnavailable: The model cannot be had here.
        EngineError: The model gives no finite logits, or memory does not hold one row.
        UsageError: The lock does not fit, or the registration is not readable.
    """
    clock = Clock()
    wanted = (file.hypothesis.model_spec, file.hypothesis.features)
    opened = (last or LastOpened[Opened]()).get(wanted, lambda: open_both(*wanted, progress))
    clock.stop("load")
    session = Session(opened, locked(file, opened, lock), store, progress)
    session.check(file)
    register(reports, file.hypothesis, datetime.now(UTC))
    context = session.context(file, session.lock)
    clock.stop("resolve")
    folder, begun = _begin(file, context, opened.features, reports, fresh=fresh, progress=progress)
    found = measure_declared(folder, begun, context, clock, progress)
    record = measure_variants(file, folder, found, session, context)
    clock.stop("variants")
    complete = record.model_copy(update={"status": "complete", "seconds": clock.seconds})
    run_folder.write(folder, complete, found.arrays)
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


def _begin(
    file: HypothesisFile,
    context: MeasurementContext,
    opened: OpenBasis,
    reports: Path,
    *,
    fresh: bool,
    progress: Progress,
) -> tuple[Path, Observed]:
    """A new run folder, or the unfinished one that measures exactly the same."""
    record = new_record(file, context, opened, reports)
    unfinished = None if fresh else runs.unfinished(reports, record)
    if unfinished is not None:
        older = run_folder.read_record(unfinished)
        progress.note(f"continuing unfinished run {older.id}")
        return unfinished, Observed(older, dict(run_folder.read_arrays(unfinished)))
    return runs.create(reports, record), Observed(record, {})
