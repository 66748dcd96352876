"""The model that a dictionary was made on, as the record that training leaves beside it says."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tracer.engine.features.open import OpenBasis
from tracer.record.evaluation import TrainedOn
from tracer.record.files import read_model
from tracer.record.record import ModelRecord

TRAINING = "training.json"
SCHEMA = "tracer.training/1"


class _Weights(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    fingerprint: str


class _Training(BaseModel):
    """The part of the record that an evaluation asks for; it holds more."""

    model_config = ConfigDict(extra="ignore")

    model: _Weights


def trained_on(features: OpenBasis, model: ModelRecord) -> TrainedOn | None:
    """The record beside a dictionary's files; None where there is none, as beside those of others.

    Raises:
        UsageError: It is unsound.
    """
    path = Path(features.source) / TRAINING
    if features.fingerprint is None or not path.is_file():
        return None
    found = read_model(path, _Training, SCHEMA)
    return TrainedOn(
        model=found.model.name,
        fingerprint=found.model.fingerprint,
        is_same=found.model.fingerprint == model.fingerprint,
    )
