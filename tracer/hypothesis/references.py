"""Checks between the parts of a hypothesis, without a tokenizer: does everything named exist?

A part with schema mistakes is still checked for what it names; what seems to be missing in it, or
unused because of it, is not told: it may be what is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from tracer.features.names import misnamed
from tracer.hypothesis.asked import Asked, asked_tokens, asked_words
from tracer.hypothesis.circuit_rules import circuit_problems
from tracer.hypothesis.expectations import Fraction
from tracer.hypothesis.graph_rules import graph_problems
from tracer.hypothesis.held_out import held_out_problems
from tracer.hypothesis.intervention_rules import intervention_problems
from tracer.hypothesis.interventions import ClampSpec
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.problem import Problem, listed, prompts_named
from tracer.hypothesis.prompt_rules import RESERVED, prompt_problems
from tracer.hypothesis.robustness_rules import robustness_problems
from tracer.hypothesis.shared_rules import shared_problems
from tracer.hypothesis.study_rules import study_problems
from tracer.hypothesis.supernode_rules import supernode_problems
from tracer.hypothesis.template import TemplateMistake, render_token, variables
from tracer.model.names import misnamed_model

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
    used.update(_of_studies(parts))
    for _, shared in parts.known_shared():
        used.update(shared.prompts)
    for name in parts.prompts:
        if name not in used and name not in RESERVED:
            yield Problem(("prompts", name), "nobody uses this prompt: name it, or remove it")


def _of_studies(parts: Parts) -> Iterator[str]:
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
