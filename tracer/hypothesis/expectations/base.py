"""What every expectation has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Alpha = Annotated[float, Field(gt=0, lt=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
TokenPair = tuple[str, str]


Share = Annotated[float, Field(gt=0, le=1)]


class Expected(BaseModel):
    """Base of all expectations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mostly: Share = Field(
        default=1.0,
        description="Share of the prompts of each split (discovery, held out) it must hold on.",
    )
