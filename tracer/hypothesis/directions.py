"""What is explained or moved toward: an answer, a token, or one token against another."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag

from tracer.hypothesis.expectations import TokenPair


class Declared(BaseModel):
    """Base of everything a file declares."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class TokenDirection(Declared):
    """Toward the logit of one token."""

    token: str


class LogitDiffDirection(Declared):
    """Toward logit(first) − logit(second)."""

    logit_diff: TokenPair


def _direction_tag(value: Any) -> str:
    if isinstance(value, dict):
        return "<pair>" if "logit_diff" in value else "<token>"
    if isinstance(value, BaseModel):
        return "<pair>" if isinstance(value, LogitDiffDirection) else "<token>"
    return "<word>"


Direction = Annotated[
    Annotated[Literal["answer"], Tag("<word>")]
    | Annotated[TokenDirection, Tag("<token>")]
    | Annotated[LogitDiffDirection, Tag("<pair>")],
    Discriminator(_direction_tag),
]
Toward = Annotated[
    Annotated[Literal["salient", "answer"], Tag("<word>")]
    | Annotated[TokenDirection, Tag("<token>")]
    | Annotated[LogitDiffDirection, Tag("<pair>")],
    Discriminator(_direction_tag),
]
