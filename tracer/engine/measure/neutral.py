"""What the values of a clamp do to text that has nothing to do with a claim.

Measured of clamps beyond what a feature is on its sources: a factor below 0 or above 2. The values
that they set on a prompt are set at the last token of neutral text, and the change of the next
token is KL(unclamped ‖ clamped), in nats: a clamp that breaks the model does so anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.batches import BatchLimit, Row, batch_limit
from tracer.engine.cache import StepForm, cause_of, remembered
from tracer.engine.clamps import assign, resolve_clamps
from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import PlaceValues
from tracer.engine.forward import run_rows
from tracer.engine.measure.prompts import Measurement
from tracer.engine.model.model import Model
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.neutral import TEXTS, is_extreme
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.hypothesis.vocabulary import read_text, token_text


def with_neutral(
    context: MeasurementContext, prompt: str, found: Measurement, limit: BatchLimit
) -> Measurement:
    """Add what the values of extreme clamps do to neutral text to a prompt's trials."""
    clean, trials = context.clean[prompt], dict(found.trials)
    for name, spec in context.hypothesis.interventions.items():
        if prompt in spec.prompts and is_extreme(spec) and not trials[name].problem:
            clamps = resolve_clamps(spec, context.supernodes, context.clean, prompt)
            row = Row(assign(clamps, clean).values, spec.freeze)
            update = {"neutral_kl": _kls(context, clean, row, limit)}
            trials[name] = trials[name].model_copy(update=update)
    return found._replace(trials=trials)


def _kls(
    context: MeasurementContext, clean: CleanRun, row: Row, limit: BatchLimit
) -> tuple[float, ...]:
    """By text, from the cache where it is there."""

    def cause() -> list[Any]:
        return [clean.prompt.ids, cause_of(row, clean), TEXTS]

    def make() -> tuple[float, ...]:
        return tuple(_kl(context.model, context.basis, run, row) for run in _runs(context))

    form = StepForm[tuple[float, ...]](
        lambda kls: StoredEntry({}, list(kls)), lambda entry: tuple(map(float, entry.about))
    )
    return remembered(context.cache, "neutral", cause, form, limit, make).result


def _runs(context: MeasurementContext) -> Sequence[CleanRun]:
    if "neutral text" not in context.kept:
        runs = [neutral_run(context.model, context.basis, text) for text in TEXTS]
        context.kept["neutral text"] = runs
    return context.kept["neutral text"]


def _kl(model: Model, basis: FeatureBasis, clean: CleanRun, row: Row) -> float:
    last = len(clean.ids) - 1
    where = row.values.where.copy()
    where[:, 1] = last
    moved = Row(PlaceValues(where, row.values.value), row.freeze)
    (found,) = run_rows(model, basis, clean, [moved], batch_limit(model, clean))
    return float(kl_from(clean, found.logits)[0])


def neutral_run(model: Model, basis: FeatureBasis, text: str) -> CleanRun:
    """The clean pass of a text, its features kept at the last token."""
    ids = read_text(text, model.tokenizer).ids
    tokens = tuple(token_text(n, model.tokenizer) for n in ids)
    spans = {"last": (len(ids) - 1, len(ids))}
    prompt = TokenizedPrompt("neutral", text, ids, tokens, spans, None, {})
    return clean_run(model, basis, prompt, {len(ids) - 1})


def kl_from(clean: CleanRun, logits: Float[Tensor, "row vocab"]) -> Float[Tensor, " row"]:
    """KL(unclamped ‖ clamped) of the next token, in nats."""
    before = torch.log_softmax(clean.logits.double().cpu(), -1)
    after = torch.log_softmax(logits.double().cpu(), -1)
    return (before.exp() * (before - after)).sum(-1).clamp_min(0)
