"""The record of a run before its first trial: what is declared, opened and resolved, and where.

Of the line load → open → resolve → measure → write it is made between *resolve* and *measure*. It
holds versions and hardware, but no path outside the run and no user name.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import torch

from tracer.engine.clean import CleanRun, reading
from tracer.engine.features.open import OpenBasis
from tracer.engine.features.untrained import opening_note
from tracer.engine.resolve import MeasurementContext, address_notes
from tracer.engine.surroundings import environment
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import TokenizedPrompt, token_notes
from tracer.record import runs
from tracer.record.files import path_text
from tracer.record.record import BasisRecord, PromptRecord, Record


def begin_record(
    file: HypothesisFile, context: MeasurementContext, opened: OpenBasis, id_: str | None = None
) -> Record:
    """A record without any trial; the id of a variation's is where it lies under the root."""
    hypothesis = file.hypothesis
    now = datetime.now(UTC)
    declared = declared_json(hypothesis)
    lock = {name: s.model_dump(mode="json") for name, s in sorted(context.supernodes.items())}
    here, model = environment(torch.get_num_threads()), context.model.record
    dictionary = dictionary_record(opened)
    model_key = [model.fingerprint, model.dtype, model.device]
    parts = [json.loads(declared), lock, model_key, here.tracer]
    if dictionary is not None:
        parts.append([dictionary.fingerprint, dictionary.revision])
    fingerprint = sha256_of(json.dumps(parts))
    return Record(
        id=id_ or runs.new_id(hypothesis.hypothesis, now, fingerprint),
        status="measuring",
        started=now.isoformat(timespec="seconds"),
        hypothesis=hypothesis,
        yaml=file.text,
        file=path_text(file.path),
        overrides=file.overrides,
        sha256=sha256_of(declared),
        fingerprint=fingerprint,
        model=model,
        basis=context.basis.name,
        dictionary=dictionary,
        environment=here,
        prompts={name: _prompt_record(context, name) for name in context.clean},
        supernodes=dict(context.supernodes),
        notes=(
            *token_notes(map(_doubtful, context.clean.values())),
            *address_notes(context),
            *_opening_notes(context),
        ),
    )


def _opening_notes(context: MeasurementContext) -> tuple[str, ...]:
    """Where graphs have nothing because the dictionary was not trained there."""
    spec, basis = context.hypothesis.graph, context.basis
    if spec is None:
        return ()
    ids = {name: context.clean[name].prompt.ids for name in spec.prompts}
    note = opening_note(ids, basis.name, basis.opening)
    return () if note is None else (note,)


def dictionary_record(opened: OpenBasis) -> BasisRecord | None:
    """What identifies the dictionary; None for neurons."""
    if opened.fingerprint is None:
        return None
    return BasisRecord(
        source=opened.source, revision=opened.revision, fingerprint=opened.fingerprint
    )


def declared_json(hypothesis: Hypothesis) -> str:
    """What a hypothesis declares, as text that its hash is taken of."""
    return hypothesis.model_dump_json(by_alias=True, exclude_none=True)


def sha256_of(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _doubtful(run: CleanRun) -> TokenizedPrompt:
    """The prompt without the word that the model does go on with: of that nothing is in doubt."""
    said = int(run.logits.argmax())
    unspaced = tuple(t for t in run.prompt.unspaced if run.prompt.asked[t] != said)
    return replace(run.prompt, unspaced=unspaced)


def _prompt_record(context: MeasurementContext, name: str) -> PromptRecord:
    clean, spec = context.clean[name], context.hypothesis.prompts[name]
    prompt = clean.prompt
    return PromptRecord(
        name=name,
        text=prompt.text,
        token_ids=prompt.ids,
        tokens=prompt.tokens,
        spans=dict(prompt.spans),
        answer=spec.answer,
        held_out=spec.held_out,
        baseline=reading(clean.logits, prompt.asked, context.model.tokenizer),
    )
