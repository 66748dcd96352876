"""Where a run is written, what it says of the runs before it, and what is told of it meanwhile.

A killed run goes on where it stopped. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracer.engine.progress import Progress
from tracer.engine.store import Store
from tracer.record import run_folder, runs
from tracer.record.arrays import Observed
from tracer.record.claim import claimed
from tracer.record.files import remove_left_behind
from tracer.record.lock import changes
from tracer.record.record import Record
from tracer.record.registration import registered
from tracer.record.testable import gives_answer

_MOST_ANSWERS = 20
"""Prompts whose answers are told one by one."""


def beside_older(record: Record, reports: Path) -> Record:
    """A new run's record with its registration, and what of its supernodes the latest has not."""
    name = record.hypothesis.hypothesis
    older = runs.latest(reports, name)
    update: dict[str, Any] = {"registration": registered(reports, name)}
    if older is not None and (older.model.name, older.basis) == (record.model.name, record.basis):
        update["lock_notes"] = changes(older, record.supernodes)
    return record.model_copy(update=update)


def answers(record: Record) -> Iterator[str]:
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


def tell_cached(store: Store, record: Record, progress: Progress) -> None:
    """What the cache was good for, and what it could not keep."""
    if record.cached:
        total = sum(len(each.trials) for each in record.interventions.values())
        progress.note(f"{len(record.cached)} of {total} trials came from the cache")
    if store.failed is not None:
        progress.note(f"measurements were not all kept for later runs: {store.failed}")


@contextmanager
def begun_run(
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
    with new_place(wanted, reports) as record:
        yield runs.create(reports, record), Observed(record, {})


@contextmanager
def new_place(wanted: Record, reports: Path) -> Generator[Record, None, None]:
    """The record of a new run whose folder nobody has, and which is not made yet; it is claimed.

    Its id is a later one where another run has the wanted one.
    """
    record, name = wanted, wanted.hypothesis.hypothesis
    while True:
        with claimed(reports / record.id) as is_mine:
            if is_mine and not (reports / record.id).exists():
                yield record
                return
        later = runs.new_id(name, datetime.now(UTC), record.fingerprint)
        record = record.model_copy(update={"id": later})
