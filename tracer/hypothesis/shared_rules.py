"""What the schema cannot say about shared representation: its lists, splits and layers."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.hypothesis.parts import Parts
from tracer.hypothesis.problem import KeyPath, Problem, prompts_named
from tracer.hypothesis.shared import ALL, Overlap, SharedSpec
from tracer.hypothesis.supernode_rules import prompt_list, span_problems


def shared_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the `shared` section."""
    for name, spec in parts.known_shared():
        path: KeyPath = ("shared", name)
        if name in parts.interventions:
            yield Problem(path, f"the name {name!r} is an intervention's already: give another")
        yield from _list_problems(parts, (*path, "translations"), spec)
        if spec.at != ALL:
            yield from span_problems(parts, (*path, "at"), spec.at, spec.prompts)
        for index, expectation in enumerate(spec.expect):
            yield from _overlap_problems((*path, "expect", index), expectation)
        if not spec.expect and parts.is_whole(*path):
            yield Problem(path, "it expects nothing: give it `expect`")


def _list_problems(parts: Parts, path: KeyPath, spec: SharedSpec) -> Iterator[Problem]:
    seen: set[str] = set()
    first = len(spec.translations[0])
    for index, names in enumerate(spec.translations):
        place = (*path, index)
        yield from prompt_list(parts, place, names)
        if len(names) == 1:
            yield Problem(place, "it has one prompt; two languages or more are expected")
        elif len(names) != first:
            message = f"found {len(names)} prompts; the first list has {first}: one a language"
            yield Problem(place, message)
        again = [name for name in dict.fromkeys(names) if name in seen]
        if again:
            yield Problem(place, f"{prompts_named(again)} stands in an earlier list already")
        seen.update(names)
        held_out = [p.held_out for name in names if (p := parts.prompts.get(name)) is not None]
        if len(set(held_out)) == 2:
            message = (
                "some of its prompts are held out and some are not; a list is one or the other"
            )
            yield Problem(place, message)


def _overlap_problems(path: KeyPath, expectation: Overlap) -> Iterator[Problem]:
    first, last = expectation.overlap
    if not 0 <= first <= last:
        message = f"found [{first}, {last}]; the first and the last layer are expected, from 0"
        yield Problem((*path, "overlap"), message)
    given = [expectation.exceeds_unrelated is not None, expectation.above is not None]
    if sum(given) != 1:
        found = "both `exceeds_unrelated` and `above`" if all(given) else "no test"
        yield Problem(path, f"it has {found}; one of `exceeds_unrelated` and `above` is expected")
