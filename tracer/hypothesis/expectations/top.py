from __future__ import annotations

from pydantic import Field

from tracer.hypothesis.expectations.base import Expected


class TopIs(Expected):
    """The most probable next token is this one."""

    top: str


class TopIsNot(Expected):
    """The most probable next token is not this one."""

    top_is_not: str


class Rank(Expected):
    """The token is among the n most probable (1 is the most probable)."""

    rank: str
    at_most: int = Field(ge=1)
