"""What it takes to judge a kind of expectation: how it is worded, and its test on one prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from tracer.evidence.case import Case, Wording
from tracer.hypothesis.clamps import Doses
from tracer.hypothesis.expectations.base import Expectation, GraphExpectation
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome

Kind = TypeVar("Kind", bound=Expectation)
GraphKind = TypeVar("GraphKind", bound=GraphExpectation)


class Naming(NamedTuple):
    """How what an expectation names is written."""

    token: Callable[[str], str]
    """Writes a token, or words, as they read on the prompts judged."""
    doses: Doses | None
    """The dose series of the intervention."""


@dataclass(frozen=True)
class MeasureEvidence(Generic[Kind]):
    """How the expectations of some kinds are judged."""

    kinds: tuple[type[Kind], ...]
    word: Callable[[Kind, Naming], Wording]
    """How one is written in a verdict."""
    judge: Callable[[Kind, Case], PromptOutcome]
    """Judges one on a prompt whose baseline holds."""


@dataclass(frozen=True)
class GraphMeasure(Generic[GraphKind]):
    """How expectations of a kind are judged that are about an attribution graph."""

    kind: type[GraphKind]
    word: Callable[[GraphKind], Wording]
    """How one is written in a verdict."""
    judge: Callable[[Record, GraphKind, str], PromptOutcome]
    """Judges one on a prompt."""
    where: str = "in the attribution graph,"
    """Begins a sentence about it."""
