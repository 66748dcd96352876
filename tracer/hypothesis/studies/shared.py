"""Representation that languages share: prompts of one meaning in several of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tracer.errors import KeyPath, Problem, prompts_named
from tracer.hypothesis.declared import Name
from tracer.hypothesis.expectations.base import Share
from tracer.hypothesis.studies.study import SplitTest, Study

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts

ALL = "all"
"""Reserved in `at:`: every token of a prompt."""


class Overlap(SplitTest):
    """Translations share active features, over some layers; one test is given."""

    KEY: ClassVar[str] = "overlap"
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

    def problems(self, path: KeyPath) -> Iterator[Problem]:
        """Layers out of order, and none or both tests."""
        first, last = self.overlap
        if not 0 <= first <= last:
            message = f"found [{first}, {last}]; the first and the last layer are expected, from 0"
            yield Problem((*path, "overlap"), message)
        given = [self.exceeds_unrelated is not None, self.above is not None]
        if sum(given) != 1:
            found = "both `exceeds_unrelated` and `above`" if all(given) else "no test"
            message = f"it has {found}; one of `exceeds_unrelated` and `above` is expected"
            yield Problem(path, message)


class SharedSpec(Study):
    """Which features are active on translations of one prompt, and how far they are the same."""

    SECTION: ClassVar[str] = "shared"
    REPEATED: ClassVar[bool] = False

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

    def named_prompts(self) -> tuple[str, ...]:
        """Every prompt."""
        return self.prompts

    def problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """Lists, spans and expectations that do not fit."""
        yield from self._list_problems(parts, (*path, "translations"))
        if self.at != ALL:
            yield from parts.span_problems((*path, "at"), self.at, self.prompts)
        for index, expectation in enumerate(self.expect):
            yield from expectation.problems((*path, "expect", index))
        if not self.expect and parts.is_whole(*path):
            yield Problem(path, "it expects nothing: give it `expect`")

    def _list_problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        seen: set[str] = set()
        first = len(self.translations[0])
        for index, names in enumerate(self.translations):
            place = (*path, index)
            yield from parts.prompt_problems(place, names)
            if len(names) == 1:
                yield Problem(place, "it has one prompt; two languages or more are expected")
            elif len(names) != first:
                message = f"found {len(names)} prompts; the first list has {first}: one a language"
                yield Problem(place, message)
            again = [name for name in dict.fromkeys(names) if name in seen]
            if again:
                yield Problem(place, f"{prompts_named(again)} stands in an earlier list already")
            seen.update(names)
            splits = {p.held_out for name in names if (p := parts.prompts.get(name)) is not None}
            if len(splits) == 2:
                message = (
                    "some of its prompts are held out and some are not; a list is one or the other"
                )
                yield Problem(place, message)
