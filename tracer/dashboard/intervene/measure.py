"""Measure an attempt on an open model: its clamps, controls, doses and texts.

The supernodes are the run's own, from its lock. The result is a record of one intervention on one
prompt, so everything that draws a run draws it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from tracer.dashboard.intervene.attempt import NAME, DeclaredAttempt
from tracer.engine.batches import batch_limit
from tracer.engine.clean import reading
from tracer.engine.measure.prompts import measure_prompt, n_rows
from tracer.engine.measure.texts import n_texts, with_texts
from tracer.engine.members import from_ids
from tracer.engine.progress import Progress
from tracer.engine.resolve import MeasurementContext, open_context
from tracer.engine.session import Opened
from tracer.hypothesis.load import FROM_PYTHON, HypothesisFile, from_hypothesis
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import tokenize
from tracer.record.arrays import Arrays
from tracer.record.lock import reusable
from tracer.record.record import Record
from tracer.record.trials import InterventionRecord


class Tried(NamedTuple):
    """What one attempt gave; its intervention is named `NAME`."""

    record: Record
    arrays: Arrays
    notes: tuple[str, ...]


def try_out(
    opened: Opened,
    record: Record,
    declared: DeclaredAttempt,
    progress: Progress,
    known: MeasurementContext | None = None,
) -> tuple[Tried, MeasurementContext]:
    """Run the clamps of an attempt on the model and features of the run.

    Also gives the context it was measured in, which holds the unclamped passes of `known` too, as
    far as they are of the run's prompts: the next try makes none of them again.

    Raises:
        HypothesisError: What the attempt asks for cannot be, in the words of the file's checks.
        UsageError: The open model is not the one of the run.
        EngineError: It gives no finite logits, or memory does not hold one row.
    """
    from_hypothesis(declared.added)
    hypothesis = declared.alone
    file = HypothesisFile(FROM_PYTHON, "", hypothesis, (), {})
    model = opened.model
    locked = reusable(record, set(record.supernodes), opened.basis.name, model.record.fingerprint)
    specs = hypothesis.supernodes
    by_hand = {name: from_ids(name, specs[name], ids) for name, ids in declared.by_hand.items()}
    lock = {**locked, **by_hand}
    prompts = tokenize(file, model.tokenizer, model.context)
    prompt = hypothesis.interventions[NAME].prompts[0]
    needed = {prompt, *(name for supernode in lock.values() for name in supernode.source)}
    some = {name: each for name, each in prompts.items() if name in needed}
    context = open_context(file, model, opened.basis, some, lock, progress, known=known)
    limit = batch_limit(model, context.clean[prompt])
    total = n_rows(hypothesis, prompt) + n_texts(hypothesis, prompt)
    with progress.task("clamping", total) as advance:
        found = measure_prompt(context, prompt, limit, advance)
        found = with_texts(context, prompt, found, limit, advance)
    trial = InterventionRecord(name=NAME, trials={prompt: found.trials[NAME]})
    tried = _tried(record, hypothesis, context, prompt, trial)
    return Tried(tried, found.arrays, tuple(found.notes)), _with_passes(context, known, record)


def _with_passes(
    context: MeasurementContext, known: MeasurementContext | None, record: Record
) -> MeasurementContext:
    of_run = {
        name: run for name, run in (known.clean if known else {}).items() if name in record.prompts
    }
    return replace(context, clean={**of_run, **context.clean})


def _tried(
    record: Record,
    hypothesis: Hypothesis,
    context: MeasurementContext,
    prompt: str,
    trial: InterventionRecord,
) -> Record:
    clean = context.clean[prompt]
    baseline = reading(clean.logits, clean.prompt.asked, context.model.tokenizer)
    prompts = {
        **record.prompts,
        prompt: record.prompts[prompt].model_copy(update={"baseline": baseline}),
    }
    nothing: Mapping[str, object] = {"graphs": {}, "circuit": {}, "shared": {}, "cached": ()}
    return record.model_copy(
        update={
            **nothing,
            "hypothesis": hypothesis,
            "model": context.model.record,
            "prompts": prompts,
            "supernodes": dict(context.supernodes),
            "interventions": {NAME: trial},
        }
    )
