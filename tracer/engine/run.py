"""The straight line of a run: load → open → resolve → measure → write, from *open* on.

The only place where the torch leg (model, features, supernodes, interventions) meets the
torch-free one (record, run folder). A killed run goes on where it stopped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tracer.engine.begun_run import answers, begun_run, beside_older, tell_cached
from tracer.engine.last_opened import LastOpened
from tracer.engine.measure.declared import measure_declared
from tracer.engine.new_record import begin_record
from tracer.engine.progress import Clock, Progress
from tracer.engine.session import MeasurementSession, Opened, locked, open_both
from tracer.engine.store import Store
from tracer.engine.variants import measure_variants
from tracer.hypothesis.load import HypothesisFile
from tracer.record import run_folder, runs
from tracer.record.files import remove_left_behind
from tracer.record.registration import register


def measure(
    file: HypothesisFile,
    *,
    reports: Path,
    lock: Path | None = None,
    fresh: bool = False,
    keep_going: bool = False,
    store: Store | None = None,
    last: LastOpened[Opened] | None = None,
    opened: Opened | None = None,
    progress: Progress,
) -> Path:
    """Measure everything a hypothesis declares; returns its run folder.

    Args:
        file: The hypothesis.
        reports: Folder that holds the runs, by hypothesis.
        lock: A run folder whose supernodes are reused instead of being found again.
        fresh: Start anew even where an unfinished run could be continued.
        keep_going: Measure also what cannot be tested, as the model does not answer as declared.
        store: Where measurements are looked for before they are made, and kept; None: nowhere.
        last: Holds the model of the file before, which is taken where this one asks for it.
        opened: The model and features to measure on, which are not opened again.
        progress: Hears about every step that takes long.

    Raises:
        HypothesisError: A token, span or feature id that this model does not have.
        ModelUnavailable: The model cannot be had here.
        EngineError: The model gives no finite logits, or memory does not hold one row.
        UsageError: The lock does not fit, or the registration is not readable.
    """
    clock = Clock()
    wanted = (file.hypothesis.model_spec, file.hypothesis.features)
    if opened is None:
        opened = (last or LastOpened[Opened]()).get(wanted, lambda: open_both(*wanted, progress))
    clock.stop("load")
    session = MeasurementSession(opened, locked(file, opened, lock), store, progress)
    session.check(file)
    register(reports, file.hypothesis, datetime.now(UTC))
    context = session.context(file, session.lock)
    clock.stop("resolve")
    empty = beside_older(begin_record(file, context, opened.features), reports)
    if not fresh and (measured := runs.unjudged(reports, empty)) is not None:
        remove_left_behind(measured)
        progress.note(f"{measured.name} was measured and not judged, which is done now")
        return measured
    for sentence in answers(empty):
        progress.note(sentence)
    with begun_run(empty, reports, fresh=fresh, progress=progress) as begun:
        folder, observed = begun
        found = measure_declared(folder, observed, context, clock, progress, keep_going=keep_going)
        record = measure_variants(file, folder, found, session, context)
        clock.stop("variants")
        complete = record.model_copy(update={"status": "complete", "seconds": clock.seconds})
        run_folder.write(folder, complete, found.arrays)
    if store is not None:
        tell_cached(store, complete, progress)
    return folder
