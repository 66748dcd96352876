"""The record of a run before its first trial: what is declared, opened and resolved.

Where a run was made: versions and hardware, without any path or user name.
"""

from __future__ import annotations

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeGuard

import torch

from tracer.engine.clean import reading
from tracer.engine.features.open import OpenBasis
from tracer.engine.measure.prompts import MeasurementContext
from tracer.engine.resolve import left_out
from tracer.hypothesis.load import HypothesisFile
from tracer.record import runs
from tracer.record.files import path_text
from tracer.record.lock import changes
from tracer.record.record import BasisRecord, Environment, ModelRecord, PromptRecord, Record
from tracer.record.registration import registered

_PACKAGES = ("torch", "transformers", "transformer-lens", "safetensors", "tokenizers", "numpy")


def environment() -> Environment:
    """This process's environment."""
    return Environment(
        tracer=_version("tracer-circuits"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: _version(name) for name in _PACKAGES},
        threads=torch.get_num_threads(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def new_record(
    file: HypothesisFile, bench: MeasurementContext, opened: OpenBasis, reports: Path
) -> Record:
    """The record of a run, which says how its supernodes differ from the latest run's."""
    name = file.hypothesis.hypothesis
    older = runs.latest(reports, name)
    notes = changes(older, bench.supernodes) if _is_alike(older, bench) else ()
    record = _record(file, bench, opened, None)
    return record.model_copy(
        update={"registration": registered(reports, name), "lock_notes": notes}
    )


def variant_record(
    file: HypothesisFile, bench: MeasurementContext, opened: OpenBasis, id_: str
) -> Record:
    """The record of a variation, whose id is where it lies under the root."""
    return _record(file, bench, opened, id_)


def _record(
    file: HypothesisFile, bench: MeasurementContext, opened: OpenBasis, id_: str | None
) -> Record:
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
    return Record(
        id=id_ or runs.new_id(hypothesis.hypothesis, now, fingerprint),
        status="measuring",
        started=now.isoformat(timespec="seconds"),
        hypothesis=hypothesis,
        yaml=file.text,
        file=path_text(file.path),
        overrides=file.overrides,
        sha256=_sha256(declared),
        fingerprint=fingerprint,
        model=bench.model.record,
        basis=bench.basis.name,
        dictionary=dictionary,
        environment=here,
        prompts={name: _prompt_record(bench, name) for name in bench.clean},
        supernodes=dict(bench.supernodes),
        notes=left_out(hypothesis, bench.basis),
    )


def _is_alike(older: Record | None, bench: MeasurementContext) -> TypeGuard[Record]:
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


def _prompt_record(bench: MeasurementContext, name: str) -> PromptRecord:
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
