"""What every kind of study has in common: a claim that is declared as one object.

A kind is a class of its own file, named in `registry.py`; how it is judged and told stands in
`tracer.evidence.studies`. Its interventions are named after it with a dot, which no name in a file
may hold, `texas_needed.zero`: they are measured, saved and resumed like those of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from tracer.errors import KeyPath, Problem
from tracer.hypothesis.clamps import (
    Direction,
    InterventionSpec,
    LogitDiffDirection,
    TokenDirection,
    Toward,
)
from tracer.hypothesis.declared import Declared
from tracer.hypothesis.expectations.base import Expectation

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts


class Asked(NamedTuple):
    """One token, or words of a text, as written: variables unfilled."""

    path: KeyPath
    token: str
    prompts: tuple[str, ...]


class SplitTest(Declared):
    """Base of the tests that are made once over all prompts of a split."""

    KEY: ClassVar[str]
    """The key that names it."""

    fails: bool = Field(
        default=False,
        description="It is to fail: the negative result that `expected: refuted` states.",
    )

    @property
    def mostly(self) -> float:
        """There is one result, and it must hold."""
        return 1.0


class Study(Declared):
    """Base of all kinds of studies."""

    SECTION: ClassVar[str]
    """The key of its section in a file: studies of this kind by name."""
    REPEATED: ClassVar[bool] = True
    """Whether `robustness` measures it again in each variation."""
    JUDGED_ONLY: ClassVar[frozenset[str]] = frozenset({"expect"})
    """Keys that only the judging reads: they may change after measuring."""
    MAY_SHRINK: ClassVar[frozenset[str]] = frozenset()
    """Lists whose members may be left out after measuring."""

    @classmethod
    def summary(cls) -> str:
        """Its first sentence, for the schema."""
        return (cls.__doc__ or "").split("\n", 1)[0]

    def named_prompts(self) -> tuple[str, ...]:
        """Every prompt that it uses."""
        return ()

    def named_supernodes(self) -> tuple[str, ...]:
        """Every supernode that it uses."""
        return ()

    def asked_tokens(self, parts: Parts, path: KeyPath) -> Iterator[Asked]:
        """The tokens it asks about; `path` is its own."""
        yield from ()

    def problems(self, parts: Parts, path: KeyPath) -> Iterator[Problem]:
        """Mistakes that the schema cannot tell; `path` is its own."""
        yield from ()

    def interventions(self, name: str) -> Iterator[tuple[str, InterventionSpec]]:
        """What is measured for it, by name; `name` is its own."""
        yield from ()

    def is_drawn(self, name: str) -> bool:
        """Whether a seed decides anything of it."""
        return any(spec.is_drawn for _, spec in self.interventions(name))


def asked_by(
    path: KeyPath, expectations: Sequence[Expectation], prompts: tuple[str, ...]
) -> Iterator[Asked]:
    """The tokens that a list of expectations asks about on its prompts."""
    for number, expectation in enumerate(expectations):
        for key, tokens in expectation.tokens().items():
            yield from (Asked((*path, number, key), token, prompts) for token in tokens)


def direction_tokens(direction: Direction | Toward) -> tuple[str, ...]:
    """The tokens a direction names; the words name none, they are the prompt's own."""
    match direction:
        case TokenDirection():
            return (direction.token,)
        case LogitDiffDirection():
            return direction.logit_diff
        case "answer" | "salient":
            return ()


def layer_problems(path: KeyPath, layers: tuple[int, int] | None) -> Iterator[Problem]:
    """Where a first and a last layer are not in order."""
    if layers is not None and not 0 <= layers[0] <= layers[1]:
        yield Problem(
            path,
            f"found [{layers[0]}, {layers[1]}]; the first and the last layer are expected, counted "
            "from 0",
        )
