"""A run that was measured before, whole: it is written anew from one entry of the cache.

The entry holds the files of the run's folder, under a hash of all that they depend on. So a hit
needs neither the model nor torch, and is what measuring would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from tracer.engine.begun_run import answers, beside_older, new_place, tell_cached
from tracer.engine.feature_index.entries import IndexSubject
from tracer.engine.feature_index.index import index_identity
from tracer.engine.model.hf_folder import leads_out
from tracer.engine.model.ready import identify
from tracer.engine.progress import Clock, Progress
from tracer.engine.store import Store, StoredEntry, key_of
from tracer.engine.surroundings import environment, may_have_gpu, own_code
from tracer.errors import ModelUnavailable
from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.implied import all_interventions, measured_together
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.names import NEURONS
from tracer.hypothesis.spec import Hypothesis
from tracer.record import run_folder, runs
from tracer.record.arrays import Observed, trial_name
from tracer.record.files import RECORD, path_text, write_bytes
from tracer.record.record import Record
from tracer.record.registration import register
from tracer.record.testable import NOT_MEASURED

_ROOMS = ("engine", "hypothesis", "record")
"""The code that decides what is in a record: what is declared is read here from the file itself."""


def measured_once(
    file: HypothesisFile,
    *,
    reports: Path,
    fresh: bool,
    keep_going: bool,
    store: Store | None,
    process: list[Any],
    progress: Progress,
    measure: Callable[[], Path],
) -> Path:
    """The folder of a new run: copied from what the cache holds, or else measured, and kept.

    Args:
        file: The hypothesis, whose supernodes are found and not taken from a lock.
        reports: Folder that holds the runs, by hypothesis.
        fresh: Start anew even where an unfinished run could be continued.
        keep_going: Whether what cannot be tested is measured, too.
        store: Where whole runs are kept; None: nowhere.
        process: What `surroundings` gave, before torch was imported where that could be.
        progress: Hears about every step that takes long.
        measure: Measures it, and gives the run's folder.

    Raises:
        TracerError: What `measure` raises.
    """
    key = None
    if store is not None:
        key = _key(file.hypothesis, process, progress, keep_going=keep_going)
    if store is None or key is None:
        return measure()
    known = _read(store, key)
    if known is not None and (fresh or not _is_begun(reports, known.own)):
        return _copied(known, file, store, reports, progress)
    before = set((reports / file.hypothesis.hypothesis).glob("*"))
    with store.noted() as asked:
        folder = measure()
    if asked and all(asked.values()) and folder not in before:
        _keep(store, key, folder, list(asked))
    return folder


def _is_begun(reports: Path, record: Record) -> bool:
    """Whether there is a run to go on with."""
    return bool(runs.unfinished(reports, record)) or runs.unjudged(reports, record) is not None


def _key(
    hypothesis: Hypothesis, process: list[Any], progress: Progress, *, keep_going: bool
) -> str | None:
    """Hash of all that a run's measurements depend on; None where that is not known from here.

    So it is of dictionaries, which are read to be told apart, of GPUs, and of functions in Python,
    whose text does not say what they call. Of the hypothesis everything counts, though thresholds
    and texts change nothing that is measured: of steps, the cache has entries that they leave.
    """
    spec = hypothesis.model_spec
    is_on_cpu = spec.device == "cpu" or (spec.device == "auto" and not may_have_gpu())
    specs = all_interventions(hypothesis).values()
    asks_python = any(isinstance(each, Python) for spec in specs for each in spec.expect)
    if hypothesis.features != NEURONS or asks_python or not is_on_cpu:
        return None
    try:
        model = identify(spec, progress)
    except ModelUnavailable:  # told where it is opened
        return None
    declared = hypothesis.model_dump_json(by_alias=True)  # as text, which keeps the order of names
    graph = hypothesis.graph  # which alone describes features
    index = graph and index_identity(IndexSubject(model.fingerprint, None))
    return key_of(["run", own_code(_ROOMS), process, model, declared, keep_going, index])


@dataclass(frozen=True)
class _KnownRun:
    """An entry."""

    observed: Mapping[str, Observed]
    """Of the run itself, under the empty name, and of its variations, by their folders."""
    files: Mapping[str, bytes]
    """All others, by their paths inside the run's folder."""
    used: list[str]
    """The keys of what the run was made of, which counts as used with it."""

    @property
    def own(self) -> Record:
        """The run's record."""
        return self.observed[""].record


def _keep(store: Store, key: str, folder: Path, used: list[str]) -> None:
    """Keep a complete run, unless something of it could not be measured this time."""
    if any(each.problem for each in run_folder.read_record(folder).variants.values()):
        return
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    arrays = {
        path.relative_to(folder).as_posix(): np.frombuffer(path.read_bytes(), np.uint8)
        for path in paths
    }
    store.write(key, arrays, used)


def _read(store: Store, key: str) -> _KnownRun | None:
    entry = store.read(key)
    try:
        return None if entry is None else _unpack(entry)
    except (LookupError, TypeError, ValueError, SafetensorError):
        return None


def _unpack(entry: StoredEntry) -> _KnownRun:
    """An entry's run.

    Raises:
        ValueError: It is none; the other errors of reading foreign data likewise.
    """
    files = {name: array.tobytes() for name, array in entry.arrays.items()}
    if any(leads_out(name) for name in files):
        raise ValueError("an entry of something else")
    observed: dict[str, Observed] = {}
    for name in [name for name in files if PurePosixPath(name).name == RECORD]:
        folder = name.removesuffix(RECORD)
        record = Record.model_validate_json(files.pop(name))
        arrays = safetensors.numpy.load(files.pop(folder + run_folder.ARRAYS))
        observed[folder] = Observed(record, arrays)
    if observed[""].record.status != "complete":
        raise ValueError("an entry of an unfinished run")
    return _KnownRun(observed, files, list(map(str, entry.about)))


def _copied(
    known: _KnownRun, file: HypothesisFile, store: Store, reports: Path, progress: Progress
) -> Path:
    """A new run with the measurements of a known one."""
    clock, now = Clock(), datetime.now(UTC)
    register(reports, file.hypothesis, now)
    id_ = runs.new_id(file.hypothesis.hypothesis, now, known.own.fingerprint)
    record = beside_older(_of_now(known.own, file, id_, now), reports)
    for sentence in answers(record):
        progress.note(sentence)
    with new_place(record, reports) as record:
        folder = reports / record.id
        folder.mkdir()
        for name, data in known.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, data)
        for name, (variant, arrays) in known.observed.items():
            if name:
                inner = _of_now(variant, file, f"{record.id}/{name.removesuffix('/')}", now)
                (folder / name).mkdir(parents=True, exist_ok=True)
                run_folder.write(folder / name, inner, arrays)
        clock.stop("cache")
        whole = record.model_copy(update={"seconds": clock.seconds})
        run_folder.write(folder, whole, known.observed[""].arrays)
    store.use(known.used)
    tell_cached(store, record, progress)
    return folder


def _of_now(record: Record, file: HypothesisFile, id_: str, now: datetime) -> Record:
    """What a record says of its run and not of what was measured."""
    update = {
        "id": id_,
        "started": now.isoformat(timespec="seconds"),
        "yaml": file.text,
        "file": path_text(file.path),
        "overrides": file.overrides,
        "environment": environment(record.environment.threads),
        "cached": tuple(_measured(record)),
        "seconds": {},
    }
    return record.model_copy(update=update)


def _measured(record: Record) -> Iterator[str]:
    """The trials that were measured, in that order."""
    together = measured_together(record.hypothesis)
    for prompt in record.hypothesis.prompts:
        for name, spec in ((name, spec) for some in together for name, spec in some.items()):
            if prompt in spec.prompts:
                trial = record.interventions[name].trials[prompt]
                if trial.problem != NOT_MEASURED:
                    yield trial_name(name, prompt)
