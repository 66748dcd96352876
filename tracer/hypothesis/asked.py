"""Every token a hypothesis asks about, and the prompts it is asked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracer.hypothesis.directions import Direction, LogitDiffDirection, TokenDirection, Toward
from tracer.hypothesis.expectations import DoseExpectation, Expectation, tokens_of
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.problem import KeyPath
from tracer.hypothesis.text_expectations import TextExpectation, words_of


class Asked(NamedTuple):
    """One token as written, variables unfilled."""

    path: KeyPath
    token: str
    prompts: tuple[str, ...]


def asked_tokens(parts: Parts) -> list[Asked]:
    """Tokens of expectations, dose expectations and directions; answers are the prompts' own."""
    found: list[Asked] = []
    for name, node in parts.known_supernodes():
        if node.select is not None:
            path, rule = ("supernodes", name, "select", "toward"), node.select
            found += [Asked(path, token, rule.explained) for token in direction_tokens(rule.toward)]
    for name, intervention in parts.known_interventions():
        place = ("interventions", name)
        found += _expected((*place, "expect"), intervention.expect, intervention.prompts)
        if intervention.doses is not None:
            of_doses = intervention.doses.expect
            found += _expected((*place, "doses", "expect"), of_doses, intervention.prompts)
    found += _of_studies(parts)
    graph = parts.graph
    if graph is not None:
        tokens = direction_tokens(graph.toward)
        found += [Asked(("graph", "toward"), token, graph.prompts) for token in tokens]
    for name, circuit in parts.known_circuits():
        path = ("circuit", name, "metric")
        tokens = direction_tokens(circuit.metric)
        found += [Asked(path, token, circuit.prompts) for token in tokens]
    return found


def asked_words(parts: Parts) -> list[Asked]:
    """The words expected of generated text; they need not be one token."""
    return [
        Asked(("interventions", name, "expect", number, key), words, spec.prompts)
        for name, spec in parts.known_interventions()
        for number, expectation in enumerate(spec.expect)
        if isinstance(expectation, TextExpectation)
        for key, words in words_of(expectation).items()
    ]


def _of_studies(parts: Parts) -> Iterator[Asked]:
    for name, necessity in parts.known_necessity():
        yield from _expected(("necessity", name, "expect"), necessity.expect, necessity.prompts)
    for name, mediation in parts.known_mediation():
        for number, expectation in enumerate(mediation.expect):
            path = ("mediation", name, "expect", number, "logit_diff")
            yield from (Asked(path, token, mediation.prompts) for token in expectation.logit_diff)
    for name, swaps in parts.known_swaps():
        for concept, prompts in swaps.concepts.items():
            others = tuple(p for p in swaps.prompts if p not in prompts)
            known = (parts.prompts.get(prompt) for prompt in prompts)
            answers = dict.fromkeys(p.answer for p in known if p is not None and p.answer)
            path = ("swaps", name, "concepts", concept)
            yield from (Asked(path, answer, others) for answer in answers)


def _expected(
    path: KeyPath,
    expectations: Sequence[Expectation | DoseExpectation],
    prompts: tuple[str, ...],
) -> Iterator[Asked]:
    for number, expectation in enumerate(expectations):
        for key, tokens in tokens_of(expectation).items():
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
