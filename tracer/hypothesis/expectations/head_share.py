"""What the claims about heads of an attribution graph have in common: a share, and its tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.expectations.base import Alpha, Number, bounds_problems


class ShareBounds(NamedTuple):
    """What a share must be: bounds, or beyond its controls."""

    above: float | None
    below: float | None
    beats_controls: float | None
    undercuts_controls: float | None

    @property
    def alpha(self) -> float | None:
        """What its p must not exceed; None where controls are not asked."""
        return self.beats_controls or self.undercuts_controls


class HeadShareTest(BaseModel):
    """A share that heads are said to have: bounds, or beyond its controls."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    share_above: Number | None = None
    share_below: Number | None = None
    beats_controls: Alpha | None = Field(
        default=None, description="Higher than with other sets of as many: p at most this."
    )
    undercuts_controls: Alpha | None = Field(default=None, description="The same, lower.")

    @property
    def bounds(self) -> ShareBounds:
        """All of its tests."""
        return ShareBounds(
            self.share_above, self.share_below, self.beats_controls, self.undercuts_controls
        )

    def share_problems(self, path: KeyPath) -> Iterator[Problem]:
        """No test, or tests that exclude each other; `path` is its own."""
        for key, wrong, bounds in (
            ("share_above", self.share_above is not None and self.share_above < 0, "0 or more"),
            ("share_below", self.share_below is not None and self.share_below > 1, "1 or less"),
        ):
            if wrong:
                message = f"found {getattr(self, key):g}, which asks for no part of it: {bounds}"
                yield Problem((*path, key), message)
        if self.beats_controls is not None and self.undercuts_controls is not None:
            yield Problem(path, "no share is both above its controls and below them")
        if self.bounds.alpha is None or (self.share_above, self.share_below) != (None, None):
            yield from bounds_problems(path, self, "share", ("share_above", "share_below"))
