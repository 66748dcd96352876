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
from tracer.engine.forward import run_rows
from tracer.engine.measure.prompts import Measurement
from tracer.engine.model.model import Model
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.clamps import InterventionSpec, long_form
from tracer.hypothesis.tokens import TokenizedPrompt, read_text, token_text

TEXTS = (
    "The kettle began to whistle, and she took two cups from the",
    "After the rain had stopped, the children went out into the",
    "He put on his coat, looked for his keys, and walked to the",
    "The old wooden table in the kitchen was covered with",
    "Most of the shops on the street were already",
    "It was a quiet afternoon, and nobody in the office wanted to",
    "The train was late again, so we decided to",
    "She opened the window because the room was too",
    "The recipe says to mix the flour with a little",
    "Before going to bed, he always reads a few pages of a",
    "The dog slept in front of the fire while the cat watched from the",
    "We painted the fence last summer, and it still looks",
)
"""Neutral text: openings of sentences on everyday subjects, on which no hypothesis should have an
effect. Written for this purpose; each stops where several words could follow."""
_LEAST, _MOST = 0, 2
"""Factors between which a feature is less than twice what it is on its sources."""


def with_neutral(
    context: MeasurementContext, prompt: str, found: Measurement, limit: BatchLimit
) -> Measurement:
    """Add what the values of extreme clamps do to neutral text to a prompt's trials."""
    clean, trials = context.clean[prompt], dict(found.trials)
    for name, spec in context.hypothesis.interventions.items():
        if prompt in spec.prompts and is_extreme(spec):
            clamps = resolve_clamps(spec, context.supernodes, context.clean, prompt)
            row = Row(assign(clamps, clean).values, spec.freeze)
            update = {"neutral_kl": _kls(context, clean, row, limit)}
            trials[name] = trials[name].model_copy(update=update)
    return found._replace(trials=trials)


def is_extreme(spec: InterventionSpec) -> bool:
    """Whether a clamp sets its features beyond twice what they are, or to the other side of 0."""
    amounts = (long_form(clamp).amount for clamp in spec.clamp.values())
    return any(not _LEAST <= amount.value <= _MOST for amount in amounts)


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
    moved = {(layer, last, index): value for (layer, _, index), value in row.values.items()}
    (found,) = run_rows(model, basis, clean, [Row(moved, row.freeze)], batch_limit(model, clean))
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
