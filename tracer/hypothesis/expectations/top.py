"""Which token comes first: `top`, `top_is_not`, `rank`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tracer.hypothesis.expectations.base import Expectation


class TopIs(Expectation):
    """The most probable next token is this one."""

    KEY: ClassVar[str] = "top"
    top: str

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The token."""
        return {"top": (self.top,)}


class TopIsNot(Expectation):
    """The most probable next token is not this one."""

    KEY: ClassVar[str] = "top_is_not"
    top_is_not: str

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The token."""
        return {"top_is_not": (self.top_is_not,)}


class Rank(Expectation):
    """The token is among the n most probable (1 is the most probable)."""

    KEY: ClassVar[str] = "rank"
    rank: str
    at_most: int = Field(ge=1)

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The token."""
        return {"rank": (self.rank,)}
