"""From a YAML file to a checked hypothesis, or every mistake in it at once.

`Replacements` writes what a caller replaces as overrides, which change a file's plain data before
it is checked. The JSON Schema is for editors and other programs; its committed copy is
`tracer/hypothesis/hypothesis.schema.json`, and a test holds the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from tracer.errors import HypothesisError, KeyPath, Mistake, Problem, dotted, shorten
from tracer.hypothesis.check import reference_problems
from tracer.hypothesis.overrides import apply_overrides, is_of, spelled
from tracer.hypothesis.partial import parts_of, read_parts
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import (
    Mark,
    Source,
    YamlMistake,
    parse,
    read_text,
    to_yaml,
)

STARTER = Path(__file__).parent / "starter.yaml"
"""What a new hypothesis begins from."""
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


def is_hypothesis_file(path: Path) -> bool:
    """Whether a folder's entry is meant.

    Hidden files and those that begin with `~` are other programs' own: macOS puts `._NAME`, which
    is no text, beside a file, and editors put locks and copies there.
    """
    is_yaml = path.suffix in (".yaml", ".yml") and not path.name.startswith((".", "~"))
    return is_yaml and path.is_file()


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
    source = parsed(path, text)
    problems = list(source.problems)
    problems += apply_overrides(source.data, texts)
    reading = read_parts(source.data, spelled(source.written, texts))
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
    return to_yaml(as_declared(hypothesis))


def as_declared(part: BaseModel) -> dict[str, Any]:
    """A hypothesis, or a part of one, as plain data of a file; defaults are left out."""
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def parsed(path: str, text: str) -> Source:
    """The plain data of a text.

    Raises:
        HypothesisError: It is no YAML that is read here.
    """
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
        if is_of(text, problem.path):
            return Mistake(None, None, where, f"{problem.message} (from --set {text})")
    path = problem.path
    while path and path not in marks:
        path = path[:-1]
    mark = marks.get(path) if path else None
    return Mistake(*(mark or (None, None)), where, shorten(problem.message, _LONGEST))


class Replacements(NamedTuple):
    """Named options, and free ones."""

    model: str | None = None
    features: str | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int | None = None
    set: tuple[str, ...] = ()

    def overrides(self) -> tuple[str, ...]:
        """As 'path=value'; the free ones come last, since they are the more particular word.

        Another model starts from that model's default revision.
        """
        found: list[str] = []
        if self.model is not None:
            found += [f"model.name={json.dumps(self.model)}", "model.revision=null"]
        named = {"features": self.features, "model.device": self.device, "model.dtype": self.dtype}
        found += [f"{path}={json.dumps(v)}" for path, v in named.items() if v is not None]
        if self.seed is not None:
            found.append(f"seed={self.seed}")
        return (*found, *self.set)


def json_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of what the schema allows; references are not in it."""
    schema = _closed(Hypothesis.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "hypothesis.schema.json",
        **schema,
    }


def json_schema_text() -> str:
    """The schema as the committed file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _closed(schema: Any) -> Any:
    """Forbid the keys that are no names, as the models do."""
    if isinstance(schema, list):
        return [_closed(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in cast("dict[str, Any]", schema).items()}
    return {**closed, "additionalProperties": False} if "patternProperties" in closed else closed
