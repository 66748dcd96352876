"""How a dictionary was trained: `training.json`, which stands in the dictionary's folder.

It is written at every checkpoint, so that a dictionary that is looked at before its training has
ended says so. Nothing here needs torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ConfigDict, Field

from tracer.record.files import Recorded, read_model
from tracer.record.record import Environment, ModelRecord

SCHEMA = "tracer.training/1"
FILE = "training.json"

Kind = Literal["transcoders", "cross-layer"]
Activation = Literal["topk", "jumprelu"]


class TrainingSettings(Recorded):
    """Everything that decides what comes out, besides model, text and machine."""

    kind: Kind
    width: int = Field(description="Features of a layer.")
    activation: Activation
    k: int = Field(description="Features of a layer that are on at a token; of TopK.")
    skip: bool = Field(description="Whether a linear map of the input is added to the output.")
    layers: tuple[int, ...]
    tokens: int = Field(description="To train on; a text that is shorter is read again.")
    windows: int = Field(description="Windows of tokens in a step.")
    learning_rate: float = Field(description="The highest: it is warmed up and goes down to 0.")
    seed: int


class TrainingText(Recorded):
    """What the windows of tokens were cut from."""

    names: tuple[str, ...] = Field(description="As they were given.")
    what: tuple[str, ...] = Field(description="Text and licence, where a package names them.")
    tokens: int = Field(description="That there are to choose from, special ones left out.")
    window: int = Field(description="Tokens of a window, with the special ones in front.")
    sha256: str = Field(description="Of the tokens, by window.")


class CurvePoint(Recorded):
    """How the training stood: means since the point before."""

    step: int
    tokens: int
    fvu: tuple[float, ...] = Field(
        description="By layer: squared error over the variance of the MLP's output, on text that "
        "was just read and not yet learned from, where it is read once."
    )
    dead: tuple[float, ...] = Field(description="By layer, share of features off for long.")


class TrainingRecord(Recorded):
    """The training of one dictionary, as far as it has come."""

    schema_: Literal["tracer.training/1"] = Field(default=SCHEMA, alias="schema")
    model: ModelRecord
    text: TrainingText
    settings: TrainingSettings
    steps: int = Field(description="In all.")
    step: int = Field(description="Those that are done.")
    dead_after: int = Field(description="Tokens without being on that make a feature dead.")
    curve: tuple[CurvePoint, ...]
    environment: Environment
    seconds: float = Field(description="Wall time of the steps; comparisons drop this.")
    peak_bytes: int = Field(description="Most memory that was in use; comparisons drop this.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step == self.steps

    @property
    def tokens(self) -> int:
        """Tokens it has learned from so far, those of a text read twice counted twice."""
        return self.curve[-1].tokens if self.curve else 0


class TrainingPlan(NamedTuple):
    """What a training takes, before it begins or goes on."""

    parameters: int
    steps: int
    tokens_a_step: int
    readings: float
    """How often each token of the text is read."""
    tokens_a_second: float
    seconds: float
    """Of the steps that are left."""
    peak_bytes: int
    dictionary_bytes: int
    disk_bytes: int
    """The most that the folder takes: two states and two copies of the largest file meanwhile."""


def read_training(folder: Path) -> TrainingRecord | None:
    """How the dictionary in a folder was trained; None where the folder does not say.

    Raises:
        UsageError: Its record cannot be read, or is a newer one.
    """
    path = folder / FILE
    return read_model(path, TrainingRecord, SCHEMA) if path.exists() else None
