"""What a specificity matrix observed: single effects by hypothesis, prompt and placement.

`specificity.json` holds a `Specificity`, which `tracer.evidence.specificity` sums up.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from tracer.record.files import Recorded
from tracer.record.record import BasisRecord, Environment, ModelRecord

SCHEMA = "tracer.specificity/1"

Placement = Literal["declared", "last", "aligned", "everywhere"]
"""Where features are set to 0: at their span; at the last token, where a prompt lacks the span; as
far from the end as on their own prompts; at every token but the first."""


class Task(Recorded):
    """A hypothesis: what it ablates, and the prompts that are its task."""

    name: str
    file: str
    sha256: str = Field(description="Of the hypothesis as read.")
    supernodes: tuple[str, ...] = Field(description="What is ablated, all at once.")
    n_features: int = Field(description="Of them all.")
    lock: str | None = Field(description="Run whose supernodes these are; None: found here.")
    prompts: tuple[str, ...] = Field(description="With the right answer first, unclamped.")
    left_out: tuple[str, ...] = Field(description="Prompts that the model gets wrong.")


class Effect(Recorded):
    """What ablating one hypothesis's supernodes does to one prompt of a task."""

    ablated: str
    task: str
    prompt: str
    placement: Placement
    change: float = Field(description="Of logit(answer) − mean logit; clamped − unclamped.")


class NeutralEffect(Recorded):
    """What ablating them at every token but the first does to the next token of neutral text."""

    ablated: str
    text: int = Field(description="Number of the text, from 0.")
    kl: float = Field(description="KL(unclamped ‖ clamped) in nats.")


class Excluded(Recorded):
    """A hypothesis that is not in the matrix."""

    name: str
    file: str
    reason: str


class Specificity(Recorded):
    """Everything one `tracer specificity` observed."""

    schema_: Literal["tracer.specificity/1"] = Field(default=SCHEMA, alias="schema")
    started: str = Field(description="UTC, ISO 8601.")
    model: ModelRecord
    basis: str
    dictionary: BasisRecord | None
    environment: Environment
    tasks: tuple[Task, ...]
    effects: tuple[Effect, ...]
    neutral_texts: tuple[str, ...]
    neutral: tuple[NeutralEffect, ...]
    apart: tuple[Excluded, ...]
    seconds: float = Field(description="Wall time; comparisons drop this.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
