"""How much a head looks from one span to another: `attends`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tracer.errors import KeyPath, Problem, listed
from tracer.hypothesis.attention import HeadsForm, heads_named, named_head_problems
from tracer.hypothesis.expectations.base import (
    Alpha,
    GraphExpectation,
    Number,
    one_test_problems,
)

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

_CONTROLS = ("beats_controls", "undercuts_controls")
_CHANGES = ("rises_by", "falls_by")
_SEEN = ("above", "below", *_CONTROLS)
"""Tests that need no clamps."""
_TESTS = ("above", "below", *_CHANGES, *_CONTROLS)


class PatternWeight(BaseModel):
    """A weight of attention patterns, from 0 to 1.

    Σ of A(q, k) over the keys k of `to`, the mean over the queries q of `from`, and of several
    heads the mean over them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    head: str = Field(description="'layer.head', quoted, or the name of a supernode of heads.")
    from_: str = Field(alias="from", description="Span of the queries.")
    to: str = Field(description="Span of the keys.")

    @property
    def heads(self) -> HeadsForm:
        """The head that is meant by its id, or the supernode whose heads are."""
        return heads_named(self.head)

    @property
    def supernode(self) -> str | None:
        """The supernode whose heads are meant; None for a head by its id."""
        return self.heads if isinstance(self.heads, str) else None

    @property
    def key(self) -> str:
        """What it is called where it is recorded: '9.1 last → name'."""
        return f"{self.head} {self.from_} → {self.to}"


class Attends(GraphExpectation):
    """How much of its attention a head gives to a span, from another one.

    Of an intervention it is the weight under the clamps; of a graph that of the model as it is.
    """

    KEY: ClassVar[str] = "attends"
    attends: PatternWeight
    above: Number | None = None
    below: Number | None = None
    rises_by: Number | None = Field(default=None, description="Clamped − clean is more than this.")
    falls_by: Number | None = Field(default=None, description="Clean − clamped is more than this.")
    beats_controls: Alpha | None = Field(
        default=None, description="Higher than under matched random sets, p at most this."
    )
    undercuts_controls: Alpha | None = Field(
        default=None, description="Lower than under matched random sets, p at most this."
    )

    @property
    def alpha(self) -> float | None:
        """What its p must not exceed; None where controls are not asked."""
        return self.beats_controls or self.undercuts_controls

    @property
    def is_compared(self) -> bool:
        """Whether it compares with controls."""
        return self.alpha is not None

    def supernodes(self) -> tuple[str, ...]:
        """The one whose heads it reads, if it names one."""
        name = self.attends.supernode
        return () if name is None else (name,)

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """None or several tests, a head or a span that is not there, bounds no weight can pass."""
        yield from one_test_problems(parts, path, self, _TESTS)
        yield from self._weight_problems(parts, path, spec.prompts)
        for test in _CONTROLS:
            if getattr(self, test) is not None and parts.controls.random == 0:
                message = (
                    f"`controls.random` is 0, so there is nothing to compare with: draw some, or "
                    f"test one of {listed(_TESTS[:4])}"
                )
                yield Problem((*path, test), message)

    def graph_problems(
        self, parts: Parts, path: KeyPath, prompts: Sequence[str]
    ) -> Iterator[Problem]:
        """The same where nothing is clamped, so that nothing can rise or fall."""
        changes = [test for test in _CHANGES if getattr(self, test) is not None]
        for test in changes:
            message = f"nothing is clamped here, so no weight changes: {listed(_SEEN)} test it"
            yield Problem((*path, test), message)
        if not changes:
            yield from one_test_problems(parts, path, self, _SEEN)
        yield from self._weight_problems(parts, path, prompts)

    def _weight_problems(
        self, parts: Parts, path: KeyPath, prompts: Sequence[str]
    ) -> Iterator[Problem]:
        place, asked = (*path, "attends"), self.attends
        yield from named_head_problems(parts, (*place, "head"), asked.heads)
        for key, span in (("from", asked.from_), ("to", asked.to)):
            yield from parts.span_problems((*place, key), span, prompts)
        for test in _TESTS[:4]:
            bound = getattr(self, test)
            if bound is not None and not 0 <= bound <= 1:
                message = f"found {bound:g}; a weight is a share, from 0 to 1"
                yield Problem((*path, test), message)
