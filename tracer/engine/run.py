"""The straight line of a run: load → open → resolve → measure → write, from *open* on.

The only place where the torch leg (model, features, supernodes, interventions) meets the
torch-free one (record, run folder). A killed run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tracer.engine.last_opened import LastOpened
from tracer.engine.measure.declared import measure_declared
from tracer.engine.new_record import new_record
from tracer.engine.progress import Clock, Progress
from tracer.engine.session import MeasurementSession, Opened, locked, open_both
from tracer.engine.store import Store
from tracer.engine.variants import measure_variants
from tracer.hypothesis.load import HypothesisFile
from tracer.record import run_folder, runs
from tracer.record.arrays import Observed
from tracer.record.claim import claimed
from tracer.record.files import remove_left_behind
from tracer.record.record import Record
from tracer.record.registration import register
from tracer.record.testable import gives_answer

_MOST_ANSWERS = 20
"""Prompts whose answers are told one by one."""


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
    empty = new_record(file, context, opened.features, reports)
    if not fresh and (measured := runs.unjudged(reports, empty)) is not None:
        remove_left_behind(measured)
        progress.note(f"{measured.name} was measured and not judged, which is done now")
        return measured
    for sentence in _answers(empty):
        progress.note(sentence)
    with _begun(empty, reports, fresh=fresh, progress=progress) as begun:
        folder, observed = begun
        found = measure_declared(folder, observed, context, clock, progress, keep_going=keep_going)
        record = measure_variants(file, folder, found, session, context)
        clock.stop("variants")
        complete = record.model_copy(update={"status": "complete", "seconds": clock.seconds})
        run_folder.write(folder, complete, found.arrays)
    if store is not None:
        _tell(store, complete, progress)
    return folder


def _answers(record: Record) -> Iterator[str]:
    """What the model says to each prompt unclamped; of many, to those it answers otherwise."""
    wrong = [name for name, prompt in record.prompts.items() if not gives_answer(prompt)]
    told = list(record.prompts) if len(record.prompts) <= _MOST_ANSWERS else wrong[:_MOST_ANSWERS]
    for name in told:
        prompt = record.prompts[name]
        top = prompt.baseline.top[0]
        declared = f", not {prompt.answer!r}" if name in wrong else ""
        yield f"{name}: the model says {top.token!r} ({top.probability:.2f}){declared}"
    n, n_asked = len(wrong), sum(each.answer is not None for each in record.prompts.values())
    if n_asked:
        yield f"the model answers {n_asked - n} of {n_asked} prompts as the file says"


def _tell(store: Store, record: Record, progress: Progress) -> None:
    """What the cache was good for, and what it could not keep."""
    if record.cached:
        total = sum(len(each.trials) for each in record.interventions.values())
        progress.note(f"{len(record.cached)} of {total} trials came from the cache")
    if store.failed is not None:
        progress.note(f"measurements were not all kept for later runs: {store.failed}")


@contextmanager
def _begun(
    wanted: Record, reports: Path, *, fresh: bool, progress: Progress
) -> Generator[tuple[Path, Observed], None, None]:
    """The unfinished run that measures exactly the same, or a new one; no other process has it."""
    for folder in [] if fresh else runs.unfinished(reports, wanted):
        with claimed(folder) as is_mine:
            begun = run_folder.observed(folder) if is_mine else None
            # Between the look and the claim, the process that had it may have completed it.
            if begun is not None and begun.record.status == "measuring":
                remove_left_behind(folder, seconds=0)
                progress.note(f"continuing unfinished run {begun.record.id}")
                yield folder, begun
                return
        if not is_mine:
            progress.note(f"another process measures {folder.name}; this becomes a run of its own")
    with _new_run(wanted, reports) as begun:
        yield begun


@contextmanager
def _new_run(wanted: Record, reports: Path) -> Generator[tuple[Path, Observed], None, None]:
    """A new run folder with its empty record, whose id is a later one where another run has it."""
    record, name = wanted, wanted.hypothesis.hypothesis
    while True:
        with claimed(reports / record.id) as is_mine:
            if is_mine and not (reports / record.id).exists():
                yield runs.create(reports, record), Observed(record, {})
                return
        later = runs.new_id(name, datetime.now(UTC), record.fingerprint)
        record = record.model_copy(update={"id": later})
