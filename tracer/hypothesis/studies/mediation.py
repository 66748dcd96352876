from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.clamps import (
    HERE,
    ClampForm,
    ClampSpec,
    Declared,
    InterventionSpec,
    Name,
    Named,
)
from tracer.hypothesis.expectations.base import Expected, Number, TokenPair

TOTAL, HELD = "total", "held"


def mediation_interventions(name: str, study: Mediation) -> Named:
    """The clamps alone, then with the mediators at their clean values."""
    clean = ClampSpec.model_validate({"from": (HERE,)})
    held = {**study.clamp, **dict.fromkeys(study.through, clean)}
    for suffix, clamp in ((TOTAL, study.clamp), (HELD, held)):
        yield (
            f"{name}.{suffix}",
            InterventionSpec(prompts=study.prompts, clamp=clamp, freeze=study.freeze),
        )


class MediatedShare(Expected):
    """The share of an effect on a logit difference that is gone when the mediators are held.

    1 − Δ(clamped, mediators at their clean values) / Δ(clamped), Δ the change of
    logit(first) − logit(second).
    """

    logit_diff: TokenPair
    share_above: Number | None = None
    share_below: Number | None = None


class Mediation(Declared):
    """What the clamps do, they do through these supernodes."""

    prompts: tuple[Name, ...] = Field(min_length=1)
    clamp: dict[Name, ClampForm] = Field(min_length=1)
    through: tuple[Name, ...] = Field(
        min_length=1, description="Mediators: held at their clean values in the second pass."
    )
    freeze: Literal["none", "attention"] = "none"
    expect: tuple[MediatedShare, ...] = Field(min_length=1)
