"""How a dictionary was trained, as far as it bears on its evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.engine.features.open import OpenBasis
from tracer.record.evaluation import TrainedOn
from tracer.record.record import ModelRecord
from tracer.record.training import TrainingRecord, read_training


def training_of(features: OpenBasis) -> TrainingRecord | None:
    """The record beside a dictionary in a folder or package; None where there is none.

    Raises:
        UsageError: It is unsound.
    """
    return None if features.folder is None else read_training(features.folder)


def trained_on(training: TrainingRecord, model: ModelRecord) -> TrainedOn:
    """What of the record is told beside the numbers."""
    return TrainedOn(
        model=training.model.name,
        fingerprint=training.model.fingerprint,
        is_same=training.model.fingerprint == model.fingerprint,
        tokens=training.tokens,
        text=training.text.what,
    )


def training_warnings(
    training: TrainingRecord, model: ModelRecord, held_out: Sequence[str]
) -> Iterator[str]:
    """What a reader must know of it.

    Args:
        training: The record.
        model: On which it is evaluated.
        held_out: Names of texts that are said to be held out as a whole.
    """
    own = training.model
    if own.fingerprint != model.fingerprint:
        yield (
            f"it was trained on other weights: those of {own.name}, fingerprint "
            f"{own.fingerprint[:8]}…, and {model.name} has {model.fingerprint[:8]}…"
        )
    if not training.is_finished:
        yield f"its training has not ended: {training.step:,} of {training.steps:,} steps"
    if seen := [name for name in held_out if name in training.text.names]:
        yield f"it was trained on {', '.join(seen)}, which --held-out says is held out"
