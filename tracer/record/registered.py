"""What a hypothesis declared before anything of it was measured: nothing else is a prediction.

Its text and hash are fixed once, and every run of the hypothesis carries them, so that whoever
judges can tell what was changed or added since.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Literal

from pydantic import Field, model_validator

from tracer.errors import UsageError, dotted
from tracer.hypothesis.partial import read_parts
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import YamlMistake, parse
from tracer.record.parts import Recorded


def as_declared(registration: Registration) -> Hypothesis:
    """The hypothesis that was registered.

    Raises:
        UsageError: This version does not read it.
    """
    of = f"{registration.hypothesis}, as registered on {when(registration)}, is not read by this"
    return _read(registration.declared, of)


@lru_cache(maxsize=4)
def _read(declared: str, of: str) -> Hypothesis:
    """Kept, because a long file takes seconds to parse, and is asked for more than once a run."""
    try:
        reading = read_parts(parse(declared).data)
    except YamlMistake as mistake:
        raise UsageError(f"{of} tracer: {mistake.message}.") from None
    if reading.hypothesis is None:
        first = reading.problems[0]
        raise UsageError(f"{of} tracer: {dotted(first.path)}: {first.message}.")
    return reading.hypothesis


SCHEMA = "tracer.registration/1"


class Registration(Recorded):
    """A hypothesis as it was declared before its first measurement."""

    schema_: Literal["tracer.registration/1"] = Field(default=SCHEMA, alias="schema")
    hypothesis: str = Field(description="Its name.")
    registered: str = Field(description="UTC, ISO 8601.")
    declared: str = Field(description="As YAML, overrides put in, defaults left out.")
    sha256: str = Field(description="Of `declared`, in UTF-8.")

    @model_validator(mode="after")
    def _unchanged(self) -> Registration:
        if sha256_of(self.declared) != self.sha256:
            raise ValueError("the hash is not that of what is declared: it was edited")
        return self


def when(registration: Registration) -> str:
    """Its time, for people."""
    return f"{registration.registered.replace('T', ' ')[:16]} UTC"


def sha256_of(text: str) -> str:
    """The hash of what is declared."""
    return hashlib.sha256(text.encode()).hexdigest()
