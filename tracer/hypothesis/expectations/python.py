"""What a Python function expects: `python`, by the name of one that this program has defined.

A file runs no code. It names a function; the program that reads the file has defined it with
`tracer.expectation`, and its source and the hash of it become part of what is declared. So a
changed function is a changed expectation, as any other change of a file is. The hash is of the
function's own text: what it calls, and values from outside of it, are not in it.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, StringConstraints, model_validator

from tracer.errors import KeyPath, Problem, UsageError, listed
from tracer.hypothesis.expectations.base import Expectation

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

Function = Callable[[Any], object]


class DefinedFunction(NamedTuple):
    """A function of this program that a file may name."""

    function: Function
    source: str
    sha256: str
    """Of the source, in UTF-8."""


_DEFINED: dict[str, DefinedFunction] = {}


def define(function: Function) -> None:
    """Let files name a function; one of the same name is replaced.

    Raises:
        UsageError: It has no name, or its source cannot be read.
    """
    name = function.__name__
    if not name.isidentifier():
        raise UsageError(f"{name} is no name that a file could say; define it with `def`.")
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise UsageError(
            f"the source of {name} cannot be read, so no record could say what it tests; define it "
            "in a file or in a notebook's cell."
        ) from None
    _DEFINED[name] = DefinedFunction(function, source, hash_of(source))


def hash_of(source: str) -> str:
    """SHA-256 of a function's text, in hex."""
    return sha256(source.encode()).hexdigest()


def _source_of(given: dict[str, Any]) -> str | None:
    """What is defined now; None where nothing is."""
    found = _DEFINED.get(given.get("python", ""))
    return found.source if found else None


def _hash_of(given: dict[str, Any]) -> str | None:
    source = given.get("source")
    return None if source is None else hash_of(source)


class Python(Expectation):
    """A Python function that the program has defined says that it holds."""

    KEY: ClassVar[str] = "python"
    python: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = Field(
        description="The function's name; `tracer.expectation` defines it."
    )
    reads: tuple[str, ...] = Field(
        default=(), description="Tokens whose readings it is given, besides the ten most probable."
    )
    source: str | None = Field(
        default_factory=_source_of,
        description="The function's text, as it was defined; filled in.",
    )
    sha256: str | None = Field(default_factory=_hash_of, description="Of `source`; filled in.")

    @model_validator(mode="after")
    def _unchanged(self) -> Python:
        if (self.sha256 is None) != (self.source is None) or (
            self.source is not None and hash_of(self.source) != self.sha256
        ):
            raise ValueError("`sha256` is not that of `source`; leave both out, they are filled in")
        return self

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """What it reads."""
        return {"reads": self.reads}

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """A function that nobody has defined."""
        if self.source is None:
            known = f" Defined: {listed(_DEFINED)}." if _DEFINED else ""
            message = (
                f"no function {self.python!r} is defined: a file that names one is run from "
                f"Python, after a function of that name with @tracer.expectation.{known}"
            )
            yield Problem((*path, self.KEY), message)

    @property
    def function(self) -> Function | None:
        """The one that is declared; None where this program has none with that very text."""
        found = _DEFINED.get(self.python)
        return found.function if found is not None and found.sha256 == self.sha256 else None
