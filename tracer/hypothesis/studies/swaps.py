"""Swaps: every concept put in place of every other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tracer.errors import KeyPath, Problem, listed, prompts_named
from tracer.hypothesis.clamps import ClampForm, Factor, InterventionSpec
from tracer.hypothesis.declared import Name
from tracer.hypothesis.expectations.base import Share
from tracer.hypothesis.studies.study import Asked, Study

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts


class Swaps(Study):
    """Every concept put in place of every other: the donor's answer must come first.

    On each prompt of a concept its own supernode is set to `off` and the donor's to `on`; with
    `off: null` its own is left alone.
    """

    SECTION: ClassVar[str] = "swaps"
    JUDGED_ONLY: ClassVar[frozenset[str]] = frozenset({"mostly", "each", "fails"})

    concepts: dict[Name, tuple[Name, ...]] = Field(
        min_length=2, description="Supernodes, each with the prompts that carry its concept."
    )
    off: Factor | None = Field(
        default=0.0,
        description="Factor of the concept that is taken away; null: it is left alone.",
    )
    on: Factor = Field(default=1.0, description="Factor of the donor.")
    freeze: Literal["none", "attention", "all"] = "none"
    mostly: Share = Field(
        default=1.0, description="Share of the swaps of each split that must succeed."
    )
    each: Share | None = Field(
        default=None, description="And of every pair of donor and recipient, its share at least."
    )

    fails: bool = Field(
        default=False,
        description="It is to fail: the negative result that `expected: refuted` states.",
    )

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every recipient prompt."""
        return tuple(prompt for prompts in self.concepts.values() for prompt in prompts)

    def named_prompts(self) -> tuple[str, ...]:
        """Every prompt of every concept."""
        return self.prompts

    def named_supernodes(self) -> tuple[str, ...]:
        """The concepts."""
        return tuple(self.concepts)

    def asked_tokens(self, parts: Parts, path: KeyPath) -> Iterator[Asked]:
        """Each concept's answer, on the prompts of the others."""
        for concept, prompts in self.concepts.items():
            others = tuple(p for p in self.prompts if p not in prompts)
            known = (parts.prompts.get(prompt) for prompt in prompts)
            answers = dict.fromkeys(p.answer for p in known if p is not None and p.answer)
            place = (*path, "concepts", concept)
            yield from (Asked(place, answer, others) for answer in answers)

    def problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """Concepts that are no supernodes, have no source, or share prompts or answers."""
        place = (*path, "concepts")
        owner: dict[str, str] = {}
        for name, prompts in self.concepts.items():
            yield from parts.supernode_problems((*place, name), name, self.prompts)
            yield from parts.prompt_problems((*place, name), prompts)
            for index, prompt in enumerate(prompts):
                if owner.setdefault(prompt, name) != name:
                    message = f"the prompt {prompt!r} is also one of {owner[prompt]!r}"
                    yield Problem((*place, name, index), message)
            node = parts.supernodes.get(name)
            if self.on and node is not None and not node.has_source:
                message = f"{name!r} has no `source`, so there is no activation to put elsewhere"
                yield Problem((*place, name), message)
        yield from self._answer_problems(parts, place)

    def _answer_problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """A swap succeeds when the donor's answer comes first, so each concept has its own."""
        owner: dict[str, str] = {}
        for name, prompts in self.concepts.items():
            known = [spec for p in prompts if (spec := parts.prompts.get(p)) is not None]
            without = parts.without_answer(prompts)
            if without:
                message = (
                    f"on {prompts_named(without)}: no `answer`, which a swap would have to replace"
                )
                yield Problem((*path, name), message)
            answers = dict.fromkeys(spec.answer for spec in known if spec.answer is not None)
            if len(answers) > 1:
                several = listed(sorted(answers))
                message = f"its prompts have several answers, {several}; one is expected"
                yield Problem((*path, name), message)
            for answer in answers:
                if owner.setdefault(answer, name) != name:
                    message = f"its answer {answer!r} is also that of {owner[answer]!r}"
                    yield Problem((*path, name), message)

    def interventions(self, name: str) -> Iterator[tuple[str, InterventionSpec]]:
        """One for each ordered pair of concepts, on the recipient's prompts."""
        for recipient, prompts in self.concepts.items():
            for donor in self.concepts:
                if donor != recipient:
                    taken: dict[str, ClampForm] = {} if self.off is None else {recipient: self.off}
                    clamp: dict[str, ClampForm] = {**taken, donor: self.on}
                    spec = InterventionSpec(prompts=prompts, clamp=clamp, freeze=self.freeze)
                    yield swap_name(name, recipient, donor), spec


def swap_name(study: str, recipient: str, donor: str) -> str:
    """What the measurement of one pair is called."""
    return f"{study}.{recipient}-{donor}"
