"""Mediation: the clamps act through other supernodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.clamps import (
    HERE,
    ClampForm,
    ClampSpec,
    InterventionSpec,
    clamp_problems,
    donors,
)
from tracer.hypothesis.declared import Name
from tracer.hypothesis.expectations.base import (
    Expectation,
    Number,
    TokenPair,
    bounds_problems,
    same_token_problems,
)
from tracer.hypothesis.studies.study import Asked, Study, asked_by

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

TOTAL, HELD = "total", "held"
"""Suffixes of its two interventions: the clamps alone, and with the mediators held."""


class MediatedShare(Expectation):
    """The share of an effect on a logit difference that is gone when the mediators are held.

    1 − Δ(clamped, mediators at their clean values) / Δ(clamped), Δ the change of
    logit(first) − logit(second).
    """

    KEY: ClassVar[str] = "logit_diff"
    logit_diff: TokenPair
    share_above: Number | None = None
    share_below: Number | None = None

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """Both tokens."""
        return {"logit_diff": self.logit_diff}

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """No bound, bounds that exclude each other, or a token compared with itself."""
        yield from bounds_problems(path, self, "share", ("share_above", "share_below"))
        yield from same_token_problems(path, self.logit_diff)


class Mediation(Study):
    """What the clamps do, they do through these supernodes."""

    SECTION: ClassVar[str] = "mediation"

    prompts: tuple[Name, ...] = Field(min_length=1)
    clamp: dict[Name, ClampForm] = Field(min_length=1)
    through: tuple[Name, ...] = Field(
        min_length=1, description="Mediators: held at their clean values in the second pass."
    )
    freeze: Literal["none", "attention"] = "none"
    expect: tuple[MediatedShare, ...] = Field(min_length=1)

    def named_prompts(self) -> tuple[str, ...]:
        """Those it is judged on, and those that clamps take activations from."""
        return (*self.prompts, *donors(self.clamp))

    def named_supernodes(self) -> tuple[str, ...]:
        """Those that are clamped, and the mediators."""
        return (*self.clamp, *self.through)

    def asked_tokens(self, parts: Parts, path: KeyPath) -> Iterator[Asked]:
        """Those of its expectations."""
        return asked_by((*path, "expect"), self.expect, self.prompts)

    def problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """Prompts, clamps, mediators and expectations that do not fit."""
        yield from parts.prompt_problems((*path, "prompts"), self.prompts)
        total = next(spec for _, spec in self.interventions(str(path[-1])))
        for name in self.clamp:
            yield from clamp_problems(parts, path, total, name)
        place = (*path, "through")
        yield from parts.supernode_list_problems(place, self.through, self.prompts)
        for index, name in enumerate(self.through):
            if name in self.clamp:
                message = f"{name!r} is clamped itself; what is clamped cannot be held"
                yield Problem((*place, index), message)
        for index, expectation in enumerate(self.expect):
            yield from expectation.problems(parts, (*path, "expect", index), total)

    def interventions(self, name: str) -> Iterator[tuple[str, InterventionSpec]]:
        """The clamps alone, then with the mediators at their clean values."""
        clean = ClampSpec.model_validate({"from": (HERE,)})
        held = {**self.clamp, **dict.fromkeys(self.through, clean)}
        for suffix, clamp in ((TOTAL, self.clamp), (HELD, held)):
            spec = InterventionSpec(prompts=self.prompts, clamp=clamp, freeze=self.freeze)
            yield f"{name}.{suffix}", spec
