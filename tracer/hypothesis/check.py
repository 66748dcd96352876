"""Checks between the parts of a hypothesis, without a tokenizer: does everything named exist?

A part with schema mistakes is still checked for what it names; what seems to be missing in it, or
unused because of it, is not told: it may be what is broken.

Every token a hypothesis asks about, and the prompts it is asked on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from tracer.errors import KeyPath, Problem, listed, prompts_named
from tracer.hypothesis.check_circuit import circuit_problems
from tracer.hypothesis.check_interventions import intervention_problems
from tracer.hypothesis.check_prompts import RESERVED, prompt_problems
from tracer.hypothesis.check_robustness import robustness_problems
from tracer.hypothesis.check_studies import graph_problems, shared_problems, study_problems
from tracer.hypothesis.check_supernodes import supernode_problems
from tracer.hypothesis.clamps import (
    ClampSpec,
    Direction,
    LogitDiffDirection,
    TokenDirection,
    Toward,
)
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.registry import DoseExpectation, Expectation, tokens_of
from tracer.hypothesis.expectations.text import TextExpectation, words_of
from tracer.hypothesis.held_out import held_out_problems
from tracer.hypothesis.names import misnamed, misnamed_model
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.template import TemplateMistake, render_token, variables


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
    found += _asked_by_studies(parts)
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


def _asked_by_studies(parts: Parts) -> Iterator[Asked]:
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


MOST_PROBLEMS = 1_000
"""Nobody reads more, and finding them takes longer than the file is worth."""


def reference_problems(parts: Parts) -> list[Problem]:
    """Mistakes in what the parts say of each other, each once: all, or the first of very many."""
    found = chain(
        _name_problems(parts),
        meaning_problems(parts),
        _nothing_expected(parts),
        _unused_prompts(parts),
        _unused_supernodes(parts),
    )
    return list(dict.fromkeys(islice(found, MOST_PROBLEMS)))


def meaning_problems(parts: Parts) -> Iterator[Problem]:
    """Those without which a hypothesis means nothing: it may hold more than anybody uses."""
    yield from _text_problems(parts)
    yield from graph_problems(parts)
    yield from shared_problems(parts)
    yield from robustness_problems(parts, _text_problems)
    yield from _token_problems(parts, _written(parts))


def _written(parts: Parts) -> list[Asked]:
    return [*asked_tokens(parts), *asked_words(parts)]


def _text_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in everything that another template could break."""
    yield from prompt_problems(parts, _asked_variables(_written(parts)))
    yield from held_out_problems(parts)
    yield from supernode_problems(parts)
    yield from intervention_problems(parts)
    yield from circuit_problems(parts)
    yield from study_problems(parts)


def _nothing_expected(parts: Parts) -> Iterator[Problem]:
    sections = {
        "interventions": parts.interventions,
        "necessity": parts.necessity,
        "mediation": parts.mediation,
        "swaps": parts.swaps,
        "circuit": parts.circuits,
        "shared": parts.shared,
        "graph": parts.graph,
    }
    if not any(sections.values()) and all(map(parts.is_whole, sections)):
        yield Problem(
            (), f"it claims nothing that can be tested: give it one of {listed(sections)}"
        )


def _asked_variables(asked: list[Asked]) -> dict[str, set[str]]:
    """By prompt, the variables that the tokens asked on it name."""
    names: dict[str, set[str]] = {}
    for _, token, prompts in asked:
        try:
            used = variables(token)
        except TemplateMistake:
            continue
        for prompt in prompts:
            names.setdefault(prompt, set()).update(used)
    return names


def _name_problems(parts: Parts) -> Iterator[Problem]:
    """Names that nothing answers to on this machine; what was measured elsewhere means the same."""
    for key, wrong in (
        ("model", parts.model and misnamed_model(parts.model)),
        ("features", misnamed(parts.features)),
    ):
        if wrong:
            yield Problem((key,), wrong)


def _token_problems(parts: Parts, asked: list[Asked]) -> Iterator[Problem]:
    for path, token, prompts in asked:
        try:
            names = variables(token)
        except TemplateMistake as mistake:
            yield Problem(path, str(mistake))
            continue
        lacking: dict[str, list[str]] = {}
        for name in prompts if names else ():
            prompt = parts.prompts.get(name)
            if prompt is None or not parts.is_whole("prompts", name):
                continue
            try:
                render_token(token, prompt)
            except TemplateMistake as mistake:
                lacking.setdefault(str(mistake), []).append(name)
        for sentence, without in lacking.items():
            yield Problem(path, f"on {prompts_named(without)}: {sentence}")


def _unused_prompts(parts: Parts) -> Iterator[Problem]:
    if not all(map(parts.is_whole, ("supernodes", "interventions", "circuit"))):
        return
    used: set[str] = set()
    for _, node in parts.known_supernodes():
        used.update(node.source or ())
        if node.select is not None:
            used.update(node.select.on, node.select.against)
    for _, spec in parts.known_interventions():
        used.update(spec.prompts)
        for clamp in spec.clamp.values():
            used.update(clamp.from_ or () if isinstance(clamp, ClampSpec) else ())
    used.update(parts.graph.prompts if parts.graph else ())
    for _, circuit in parts.known_circuits():
        used.update(circuit.prompts, circuit.reference)
    used.update(_prompts_of_studies(parts))
    for _, shared in parts.known_shared():
        used.update(shared.prompts)
    for name in parts.prompts:
        if name not in used and name not in RESERVED:
            yield Problem(("prompts", name), "nobody uses this prompt: name it, or remove it")


def _prompts_of_studies(parts: Parts) -> Iterator[str]:
    """Prompts that studies name."""
    for _, necessity in parts.known_necessity():
        yield from (*necessity.prompts, *necessity.reference)
    for _, mediation in parts.known_mediation():
        yield from mediation.prompts
        for clamp in mediation.clamp.values():
            yield from clamp.from_ or () if isinstance(clamp, ClampSpec) else ()
    for _, swaps in parts.known_swaps():
        yield from swaps.prompts


def _unused_supernodes(parts: Parts) -> Iterator[Problem]:
    if not (parts.is_whole("interventions") and parts.is_whole("circuit")):
        return
    used: set[str] = set()
    for _, spec in parts.known_interventions():
        used.update(spec.clamp)
        used.update(e.supernode for e in spec.expect if isinstance(e, Fraction))
    for edge in parts.graph.expect if parts.graph else ():
        used.update((edge.edge.from_, edge.edge.to))
    for _, circuit in parts.known_circuits():
        used.update(circuit.supernodes)
    for _, necessity in parts.known_necessity():
        used.update(necessity.ablate)
        used.update(e.supernode for e in necessity.expect if isinstance(e, Fraction))
    for _, mediation in parts.known_mediation():
        used.update((*mediation.clamp, *mediation.through))
    for _, swaps in parts.known_swaps():
        used.update(swaps.concepts)
    for name in parts.supernodes:
        if name not in used:
            message = "nobody uses this supernode: clamp it, expect something of it, or remove it"
            yield Problem(("supernodes", name), message)
