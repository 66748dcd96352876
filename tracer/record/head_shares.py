"""What was measured of claims about heads in an attribution graph: shares and their controls."""

from __future__ import annotations

from pydantic import Field

from tracer.record.files import Recorded

LONGEST_ROW = 512
"""Tokens of a prompt of which rows of patterns are kept."""


class HeadShareRecord(Recorded):
    """A share of something that heads have, and those of other sets in the same place."""

    heads: tuple[str, ...] = Field(description="As layer.head.")
    part: float = Field(default=0.0, description="What the share is the share of `whole`.")
    whole: float = 0.0
    share: float | None = Field(default=None, description="part / whole; None with a problem.")
    problem: str | None = Field(default=None, description="Why there is no such share.")
    n_controls: int = Field(default=0, description="Other sets in place of the real one.")
    n_as_high: int = Field(default=0, description="Of these, shares at least as high.")
    n_as_low: int = 0
    control_median: float | None = Field(default=None, description="Their median share.")
    is_every_set: bool = Field(default=False, description="No other set than these exists.")
    attention: tuple[float, ...] = Field(
        default=(),
        description="What the heads give to each position, the mean over them, unclamped; empty "
        "where that is not meant or the prompt is long.",
    )


class ReasonRecord(HeadShareRecord):
    """The same of a score, with the tokens that it is of."""

    query: int = Field(description="Position that the heads look from.")
    key: int = Field(description="Position that they look at.")
