"""What the checks ask of a file, although other parts of it may be broken.

A part with schema mistakes is still checked for what it names; what seems to be missing in it, or
unused because of it, is not told: it may be what is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from tracer.errors import KeyPath, Problem, prompts_named, unknown
from tracer.hypothesis.clamps import LAST, InterventionSpec
from tracer.hypothesis.robustness import Robustness
from tracer.hypothesis.spec import Controls, PromptSpec, SupernodeSpec
from tracer.hypothesis.studies.graph import GraphSpec
from tracer.hypothesis.studies.study import Study
from tracer.hypothesis.template import span_places

Part = TypeVar("Part", bound=BaseModel)


@dataclass(frozen=True)
class Parts:
    """A hypothesis part by part; a part that cannot be read at all is None."""

    template: str | None
    prompts: Mapping[str, PromptSpec | None]
    supernodes: Mapping[str, SupernodeSpec | None]
    interventions: Mapping[str, InterventionSpec | None]
    studies: Mapping[str, Mapping[str, Study | None]]
    """By section, every one of them."""
    graph: GraphSpec | None
    controls: Controls
    robustness: Robustness | None
    expected: str
    """What the file says of its own verdict; empty where it cannot be read."""
    model: str
    """Empty where it cannot be read."""
    features: str
    broken: frozenset[KeyPath]
    """Sections and parts with schema mistakes: what seems absent there may be what is broken."""
    misspelt: Mapping[str, str]
    """How sections are written that were taken for what they are nearest to."""

    def is_whole(self, *path: str | int) -> bool:
        """Whether nothing on the way to this part, or in it, had to be left out."""
        return not any(place[: len(path)] == path or path[: len(place)] == place
                       for place in self.broken)  # fmt: skip

    def known_prompts(self) -> Iterator[tuple[str, PromptSpec]]:
        """The prompts that could be read."""
        return _known(self.prompts)

    def known_supernodes(self) -> Iterator[tuple[str, SupernodeSpec]]:
        """The supernodes that could be read."""
        return _known(self.supernodes)

    def known_interventions(self) -> Iterator[tuple[str, InterventionSpec]]:
        """The interventions that could be read."""
        return _known(self.interventions)

    def known_studies(self) -> Iterator[tuple[str, Study]]:
        """The studies that could be read, section by section, with their names."""
        for members in self.studies.values():
            yield from _known(members)

    def without_answer(self, prompts: Sequence[str]) -> list[str]:
        """Those of the prompts that could be read and have no answer."""
        known = [(name, self.prompts.get(name)) for name in prompts]
        return [name for name, prompt in known if prompt is not None and prompt.answer is None]

    def prompt_problems(
        self,
        path: KeyPath,
        names: Sequence[str],
        *,
        discovery: str | None = None,
        reserved: tuple[str, ...] = (),
    ) -> Iterator[Problem]:
        """Mistakes in a list of prompts.

        Args:
            path: Of the list.
            names: The prompts.
            discovery: What a prompt of this list is, where a held-out one may not be that.
            reserved: Names that are allowed besides those of prompts.
        """
        if not names:
            yield Problem(path, "the list is empty; one prompt or more is expected")
        counts = Counter(names)
        for index, name in enumerate(names):
            prompt = self.prompts.get(name)
            if name not in self.prompts and name not in reserved:
                known = [*self.prompts, *reserved]
                yield Problem((*path, index), unknown("prompt", name, known))
            elif discovery and prompt is not None and prompt.held_out:
                yield Problem(
                    (*path, index),
                    f"the prompt {name!r} is held out, so it may not be {discovery}: held-out "
                    "prompts only judge",
                )
            if counts[name] > 1 and names.index(name) != index:
                yield Problem((*path, index), f"the prompt {name!r} is named twice")

    def span_problems(self, path: KeyPath, span: str, prompts: Sequence[str]) -> Iterator[Problem]:
        """Where a span is missing, empty or double on a prompt it is applied to: one mistake."""
        if span == LAST:
            return
        missing: list[str] = []
        double: list[str] = []
        known: dict[str, None] = {}
        for name in dict.fromkeys(prompts):
            prompt = self.prompts.get(name)
            where = None if prompt is None else span_places(prompt, self.template)
            if prompt is None or where is None:
                continue
            known.update(dict.fromkeys(key for key, at in where.items() if at and key != LAST))
            count = len(where.get(span, ()))
            if count == 0:
                missing.append(name)
            elif count > 1 and span not in prompt.spans:
                double.append(name)
        if missing:
            sentence = unknown("span", span, [LAST, *known])
            yield Problem(path, f"on {prompts_named(missing)}: {sentence}")
        if double:
            yield Problem(
                path,
                f"on {prompts_named(double)}: the variable {{{span}}} occurs more than once, so it "
                "is no place; name a span that occurs once",
            )

    def supernode_problems(
        self, path: KeyPath, name: str, prompts: Sequence[str], also: tuple[str, ...] = ()
    ) -> Iterator[Problem]:
        """Where a supernode does not exist, or has no place on a prompt.

        Args:
            path: Where it is named.
            name: The supernode.
            prompts: On which it must have a place.
            also: Further names that would have been allowed there.
        """
        if name not in self.supernodes:
            yield Problem(path, unknown("supernode", name, [*self.supernodes, *also]))
            return
        node = self.supernodes[name]
        if node is not None and node.is_anchored and self.is_placed(node):
            yield from self.span_problems(path, node.span, prompts)

    def head_problems(self, path: KeyPath, name: str, purpose: str) -> Iterator[Problem]:
        """Where a supernode of heads is named for what only features can do."""
        node = self.supernodes.get(name)
        if node is not None and node.is_heads:
            yield Problem(path, f"the supernode {name!r} holds heads; {purpose} features alone")

    def supernode_list_problems(
        self, path: KeyPath, names: Sequence[str], prompts: Sequence[str]
    ) -> Iterator[Problem]:
        """The same for a list of supernodes, each named once."""
        for index, name in enumerate(names):
            if name in self.supernodes and name in names[:index]:
                yield Problem((*path, index), f"the supernode {name!r} is named twice")
            else:
                yield from self.supernode_problems((*path, index), name, prompts)

    def is_placed(self, node: SupernodeSpec) -> bool:
        """Whether its span exists on its own prompts; where not, that one mistake is enough."""
        return not any(self.span_problems((), node.span, node.own_prompts))


def _known(section: Mapping[str, Part | None]) -> Iterator[tuple[str, Part]]:
    return ((name, part) for name, part in section.items() if part is not None)
