"""Representation that languages share: prompts of one meaning in several of them."""

from __future__ import annotations

from pydantic import Field

from tracer.hypothesis.clamps import Declared, Name
from tracer.hypothesis.expectations.base import Share
from tracer.hypothesis.studies.circuit import SplitTest

ALL = "all"
"""Reserved in `at:`: every token of a prompt."""


class Overlap(SplitTest):
    """Translations share active features, over some layers; one test is given."""

    overlap: tuple[int, int] = Field(description="First and last layer, both kept.")
    exceeds_unrelated: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="More than prompts of other meanings, permutation p at most this.",
    )
    above: float | None = Field(
        default=None, ge=0, lt=1, description="The mean overlap of translations is more than this."
    )


class SharedSpec(Declared):
    """Which features are active on translations of one prompt, and how far they are the same."""

    translations: tuple[tuple[Name, ...], ...] = Field(
        min_length=2, description="One meaning in several languages, in the same order each."
    )
    active: Share = Field(
        default=0.05,
        description="Neurons: the strongest share of a layer counts as active, by "
        "|activation| × ‖W_dec‖. A dictionary's features are active where they fire.",
    )
    at: Name = Field(default=ALL, description="`all` tokens, `last`, a variable or a named span.")
    expect: tuple[Overlap, ...] = ()

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt, list by list."""
        return tuple(prompt for each in self.translations for prompt in each)
