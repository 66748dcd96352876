"""What every part of a record is built from, and the readings most parts hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Recorded(BaseModel):
    """Base of everything a run writes down; not-a-number goes into JSON as "NaN" and comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class TokenReading(Recorded):
    """One token at the read position."""

    token: str
    id: int
    logit: float
    probability: float = Field(description="Softmax over the whole vocabulary.")
    rank: int = Field(description="1 is the most probable; ties go to the lower id.")


class Reading(Recorded):
    """The output at a prompt's last position."""

    top: tuple[TokenReading, ...] = Field(description="The ten most probable, best first.")
    tokens: dict[str, TokenReading] = Field(description="Every token the hypothesis asks about.")
