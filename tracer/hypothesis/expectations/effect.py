from __future__ import annotations

from typing import Literal

from pydantic import Field

from tracer.hypothesis.expectations.base import Alpha, Expected, Number, TokenPair


class Thresholds(Expected):
    """Tests of a number; exactly one is given."""

    above: Number | None = None
    below: Number | None = None
    rises_by: Number | None = Field(default=None, description="Clamped − clean is more than this.")
    falls_by: Number | None = Field(default=None, description="Clean − clamped is more than this.")
    beats_controls: Alpha | None = Field(
        default=None, description="Higher than matched random sets, Monte-Carlo p at most this."
    )
    undercuts_controls: Alpha | None = Field(
        default=None, description="Lower than matched random sets, Monte-Carlo p at most this."
    )
    beats_controls_across: Alpha | None = Field(
        default=None,
        description="Higher than the median of its controls, over the prompts of a split together: "
        "paired sign-flip p at most this.",
    )
    undercuts_controls_across: Alpha | None = Field(
        default=None, description="The same, lower than the median of its controls."
    )

    @property
    def alpha(self) -> float | None:
        """What its p must not exceed; None where controls are not asked."""
        return (
            self.beats_controls
            or self.undercuts_controls
            or self.beats_controls_across
            or self.undercuts_controls_across
        )

    @property
    def side(self) -> Literal["above", "below"] | None:
        """Which side of its controls it must be on; None where controls are not asked."""
        if self.alpha is None:
            return None
        return "above" if self.beats_controls or self.beats_controls_across else "below"

    @property
    def is_across(self) -> bool:
        """Whether one test is made of all prompts of a split, not one on each."""
        return bool(self.beats_controls_across or self.undercuts_controls_across)


class Probability(Thresholds):
    """The token's probability, from 0 to 1."""

    probability: str


class LogitDiff(Thresholds):
    """logit(first) − logit(second)."""

    logit_diff: TokenPair
