"""Every token a hypothesis asks about, and the prompts it is asked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tracer.hypothesis.expectations import DoseExpectation, Expectation, tokens_of
from tracer.hypothesis.problem import KeyPath
from tracer.hypothesis.spec import (
    Direction,
    InterventionSpec,
    LogitDiffDirection,
    SupernodeSpec,
    TokenDirection,
)


class Asked(NamedTuple):
    """One token as written, variables unfilled."""

    path: KeyPath
    token: str
    prompts: tuple[str, ...]


def asked_tokens(
    supernodes: Iterable[tuple[str, SupernodeSpec]],
    interventions: Iterable[tuple[str, InterventionSpec]],
) -> list[Asked]:
    """Tokens of expectations, dose expectations and directions; answers are the prompts' own."""
    found: list[Asked] = []
    for name, node in supernodes:
        if node.select is not None:
            path = ("supernodes", name, "select", "toward")
            found += [
                Asked(path, token, node.select.on) for token in direction_tokens(node.select.toward)
            ]
    for name, intervention in interventions:
        place = ("interventions", name)
        found += _expected((*place, "expect"), intervention.expect, intervention.prompts)
        if intervention.doses is not None:
            of_doses = intervention.doses.expect
            found += _expected((*place, "doses", "expect"), of_doses, intervention.prompts)
    return found


def _expected(
    path: KeyPath,
    expectations: Sequence[Expectation | DoseExpectation],
    prompts: tuple[str, ...],
) -> Iterator[Asked]:
    for number, expectation in enumerate(expectations):
        for key, tokens in tokens_of(expectation).items():
            yield from (Asked((*path, number, key), token, prompts) for token in tokens)


def direction_tokens(direction: Direction) -> tuple[str, ...]:
    """The tokens a direction names; `answer` names none, it is the prompt's own."""
    match direction:
        case TokenDirection():
            return (direction.token,)
        case LogitDiffDirection():
            return direction.logit_diff
        case "answer":
            return ()
