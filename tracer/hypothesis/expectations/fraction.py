"""How active a supernode is after the clamps: `supernode`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.expectations.base import Expectation, Number, one_test_problems

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

_TESTS = ("fraction_above", "fraction_below")


class Fraction(Expectation):
    """How active a supernode is after the clamps, as a share of a reference activation.

    ⟨a, a₀⟩ / ⟨a₀, a₀⟩ over its features: 1 as the reference, 0 off, −2 inverted and doubled. That
    is the mean of the features' own shares aᵢ / a₀ᵢ, weighted by a₀ᵢ².
    """

    KEY: ClassVar[str] = "supernode"
    supernode: str
    fraction_above: Number | None = None
    fraction_below: Number | None = None
    of: Literal["clean", "source"] = Field(
        default="clean",
        description="a₀: this prompt unclamped, or the mean of the supernode's sources.",
    )
    average: Literal["weighted", "equal"] = Field(
        default="weighted",
        description="equal: every feature's share counts alike, as circuit-tracer's drawings do;"
        " features with a₀ᵢ = 0 have none and are left out.",
    )

    def supernodes(self) -> tuple[str, ...]:
        """The one it reads."""
        return (self.supernode,)

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """None or both tests, a supernode that is not there, or without a source."""
        yield from one_test_problems(parts, path, self, _TESTS)
        yield from parts.supernode_problems((*path, "supernode"), self.supernode, spec.prompts)
        node = parts.supernodes.get(self.supernode)
        if node is None or self.of != "source" or node.has_source:
            return
        if parts.is_whole("supernodes", self.supernode):
            message = f"the supernode {self.supernode!r} has no `source` to compare with"
            yield Problem((*path, "of"), message)
