"""From a YAML file to a checked hypothesis, or every mistake in it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tracer.errors import HypothesisError, Mistake
from tracer.hypothesis.overrides import OverrideMistake, apply_overrides, parse_override
from tracer.hypothesis.parts import Parts, parts_of, read_parts
from tracer.hypothesis.problem import KeyPath, Problem, dotted, shorten
from tracer.hypothesis.references import reference_problems
from tracer.hypothesis.source import Mark, Source, parse, read_text, to_yaml
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_core import YamlMistake

FROM_PYTHON = "<python>"
MOST_TOLD = 200
"""Mistakes of one file."""
_LONGEST = 2_000
"""Characters of one."""


@dataclass(frozen=True)
class HypothesisFile:
    """A checked hypothesis with the text it came from, so that later mistakes find their line."""

    path: str
    text: str
    """Verbatim, before overrides."""
    hypothesis: Hypothesis
    overrides: tuple[str, ...]
    marks: Mapping[KeyPath, Mark]

    def mistake(self, path: KeyPath, message: str) -> Mistake:
        """A mistake at the nearest place of the text that the path leads to."""
        return place_mistake(Problem(path, message), self.marks, self.overrides)


def read(path: str, overrides: Iterable[str] = ()) -> HypothesisFile:
    """Read and check a hypothesis file; overrides are of the form `path=value`.

    Raises:
        HypothesisError: with every mistake in the file and in the overrides.
    """
    return check(path, read_text(path), overrides)


def check(path: str, text: str, overrides: Iterable[str] = ()) -> HypothesisFile:
    """Check a text as the file at `path` would be, which need not be there.

    Raises:
        HypothesisError: see `read`.
    """
    texts = tuple(overrides)
    source = _parsed(path, text)
    problems = list(source.problems)
    problems += apply_overrides(source.data, texts)
    reading = read_parts(source.data)
    problems += reading.problems
    problems += _beyond(reading.parts, problems)
    if problems or reading.hypothesis is None:
        mistakes = [place_mistake(problem, source.marks, texts) for problem in problems]
        raise HypothesisError(path, _told(mistakes))
    return HypothesisFile(path, text, reading.hypothesis, texts, source.marks)


def from_hypothesis(hypothesis: Hypothesis) -> HypothesisFile:
    """Check a hypothesis made in Python as a file is checked; it has no lines.

    Raises:
        HypothesisError: with every mistake in it.
    """
    problems = reference_problems(parts_of(hypothesis))
    if problems:
        raise HypothesisError(FROM_PYTHON, [place_mistake(p, {}, ()) for p in problems])
    return HypothesisFile(FROM_PYTHON, dump(hypothesis), hypothesis, (), {})


def dump(hypothesis: Hypothesis) -> str:
    """The hypothesis as YAML that reads back to an equal one; defaults are left out."""
    return to_yaml(hypothesis.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def _parsed(path: str, text: str) -> Source:
    try:
        return parse(text)
    except YamlMistake as found:
        mistake = Mistake(found.line, found.column, "", found.message)
        raise HypothesisError(path, [mistake]) from None


def _beyond(parts: Parts, told: Sequence[Problem]) -> list[Problem]:
    """Reference mistakes at places where no schema mistake is told already."""
    taken = {problem.path for problem in told}
    found = (_as_written(problem, parts.misspelt) for problem in reference_problems(parts))
    return [problem for problem in found if problem.path not in taken]


def _as_written(problem: Problem, misspelt: Mapping[str, str]) -> Problem:
    """Its path leads through the key that is in the file."""
    match problem.path:
        case (str() as name, *rest) if name in misspelt:
            return Problem((misspelt[name], *rest), problem.message)
        case _:
            return problem


def _told(mistakes: list[Mistake]) -> list[Mistake]:
    """The first of them in the file, where they are very many."""
    if len(mistakes) <= MOST_TOLD:
        return mistakes
    first = sorted(mistakes, key=lambda each: (each.line or 0, each.column or 0))[:MOST_TOLD]
    more = f"more than {MOST_TOLD} mistakes: here are the first, the others once they are corrected"
    return [*first, Mistake(None, None, "", more)]


def place_mistake(
    problem: Problem, marks: Mapping[KeyPath, Mark], overrides: tuple[str, ...]
) -> Mistake:
    """Give a problem its line, or the override that caused it."""
    where = dotted(problem.path)
    for text in reversed(overrides):
        if _is_of(text, problem.path):
            return Mistake(None, None, where, f"{problem.message} (from --set {text})")
    path = problem.path
    while path and path not in marks:
        path = path[:-1]
    mark = marks.get(path) if path else None
    return Mistake(*(mark or (None, None)), where, shorten(problem.message, _LONGEST))


def _is_of(override: str, path: KeyPath) -> bool:
    try:
        changed = parse_override(override).path
    except OverrideMistake:
        return False
    return path[: len(changed)] == changed
