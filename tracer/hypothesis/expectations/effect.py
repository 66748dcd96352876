"""A number read off the output, `probability` or `logit_diff`, with its tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem, listed
from tracer.hypothesis.expectations.base import (
    Alpha,
    Expectation,
    Number,
    TokenPair,
    one_test_problems,
    same_token_problems,
)

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

PROCEDURE_TESTS = ("beats_procedure", "undercuts_procedure")
ACROSS_TESTS = ("beats_controls_across", "undercuts_controls_across", *PROCEDURE_TESTS)
"""Each is one test of all prompts of a split."""
_RANDOM_TESTS = ("beats_controls", "undercuts_controls", *ACROSS_TESTS[:2])
_TESTS = ("above", "below", "rises_by", "falls_by", "within", *_RANDOM_TESTS, *PROCEDURE_TESTS)


class Thresholds(Expectation):
    """Tests of a number; exactly one is given."""

    above: Number | None = None
    below: Number | None = None
    within: Annotated[Number, Field(gt=0)] | None = Field(
        default=None, description="Nothing changes: |clamped − clean| is less than this margin."
    )
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
        description="Higher than matched random sets, over the prompts of a split together: "
        "Monte-Carlo p of the sum at most this.",
    )
    undercuts_controls_across: Alpha | None = Field(
        default=None, description="The same, lower than matched random sets."
    )
    beats_procedure: Alpha | None = Field(
        default=None,
        description="Higher than what the same rule finds on wrong donors (`controls.donors`), "
        "over the prompts of a split together: Monte-Carlo p of the sum at most this.",
    )
    undercuts_procedure: Alpha | None = Field(default=None, description="The same, lower.")

    @property
    def alpha(self) -> float | None:
        """What its p must not exceed; None where controls are not asked."""
        tests = (*_RANDOM_TESTS, *PROCEDURE_TESTS)
        return next((p for test in tests if (p := getattr(self, test)) is not None), None)

    @property
    def is_compared(self) -> bool:
        """Whether one of its tests against random sets is given."""
        return any(getattr(self, test) is not None for test in _RANDOM_TESTS)

    @property
    def is_procedure_compared(self) -> bool:
        """Whether one of its tests against the same rule on other donors is given."""
        return any(getattr(self, test) is not None for test in PROCEDURE_TESTS)

    @property
    def claims_no_change(self) -> bool:
        """Whether a margin is given that nothing may leave."""
        return self.within is not None

    @property
    def side(self) -> Literal["above", "below"] | None:
        """Which side of its controls it must be on; None where controls are not asked."""
        if self.alpha is None:
            return None
        above = (self.beats_controls, self.beats_controls_across, self.beats_procedure)
        return "above" if any(above) else "below"

    @property
    def is_across(self) -> bool:
        """Whether one test is made of all prompts of a split, not one on each."""
        return any(getattr(self, test) is not None for test in ACROSS_TESTS)

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """None or several tests, controls that are not drawn, too few prompts."""
        yield from one_test_problems(parts, path, self, _TESTS)
        for test in _RANDOM_TESTS:
            if getattr(self, test) is not None and parts.controls.random == 0:
                message = "there are no controls to compare with: `controls.random` is 0"
                yield Problem((*path, test), message)
        for test in PROCEDURE_TESTS:
            if getattr(self, test) is not None and not parts.controls.donors:
                message = "no wrong donors to compare with: name them in `controls.donors`"
                yield Problem((*path, test), message)
        if self.is_across and self.mostly < 1:
            message = f"it says nothing beside {listed(ACROSS_TESTS)}: all prompts are one test"
            yield Problem((*path, "mostly"), message)


class Probability(Thresholds):
    """The token's probability, from 0 to 1."""

    KEY: ClassVar[str] = "probability"
    probability: str

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The token."""
        return {"probability": (self.probability,)}

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """Those of every such number, and bounds that no probability can pass."""
        yield from super().problems(parts, path, spec)
        below = 1 if self.below is None else self.below
        bounds = {
            "above": (0 <= (self.above or 0) < 1, "from 0 to below 1"),
            "below": (0 < below <= 1, "above 0, to 1"),
            "rises_by": (-1 < (self.rises_by or 0) < 1, "between -1 and 1"),
            "falls_by": (-1 < (self.falls_by or 0) < 1, "between -1 and 1"),
            "within": ((self.within or 0) < 1, "above 0, below 1"),
        }
        for test, (has_meaning, allowed) in bounds.items():
            if not has_meaning:
                found = getattr(self, test)
                yield Problem(
                    (*path, test),
                    f"found {found:g}; a probability is from 0 to 1: {allowed} is expected",
                )


class LogitDiff(Thresholds):
    """logit(first) − logit(second)."""

    KEY: ClassVar[str] = "logit_diff"
    logit_diff: TokenPair

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """Both tokens."""
        return {"logit_diff": self.logit_diff}

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """Those of every such number, and a token compared with itself."""
        yield from super().problems(parts, path, spec)
        yield from same_token_problems(path, self.logit_diff)
