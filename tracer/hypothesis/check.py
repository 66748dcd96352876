"""Checks between the parts of a hypothesis, without a tokenizer: does everything named exist?

The schema sees each part by itself. Mistakes are collected from every part, so that a file's are
all told at once. Prompts, clamps, supernodes and variations have a `check_*` file each; studies and
expectations check themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice, product

from tracer.errors import KeyPath, Problem, listed, prompts_named, unknown
from tracer.hypothesis.check_prompts import held_out_problems, prompt_problems
from tracer.hypothesis.check_robustness import robustness_problems
from tracer.hypothesis.check_supernodes import supernode_problems
from tracer.hypothesis.check_vacuity import vacuity_problems
from tracer.hypothesis.clamps import RESERVED, InterventionSpec, clamp_problems, donors
from tracer.hypothesis.names import misnamed, misnamed_model
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.studies.graph import GRAPH
from tracer.hypothesis.studies.study import Asked, asked_by, direction_tokens
from tracer.hypothesis.template import TemplateMistake, render_token, variables

MOST_PROBLEMS = 1_000
"""Nobody reads more, and finding them takes longer than the file is worth."""


def reference_problems(parts: Parts) -> list[Problem]:
    """Mistakes in what the parts say of each other, each once: all, or the first of very many."""
    found = chain(
        _model_problems(parts),
        meaning_problems(parts),
        _nothing_expected(parts),
        vacuity_problems(parts),
        _unused_prompts(parts),
        _unused_supernodes(parts),
    )
    return list(dict.fromkeys(islice(found, MOST_PROBLEMS)))


def meaning_problems(parts: Parts) -> Iterator[Problem]:
    """Those without which a hypothesis means nothing: it may hold more than anybody uses."""
    yield from _text_problems(parts)
    if parts.graph is not None:
        yield from parts.graph.problems(parts)
    yield from robustness_problems(parts, _text_problems)
    yield from _token_problems(parts, _written(parts))


def asked_tokens(parts: Parts) -> list[Asked]:
    """Tokens of expectations, dose expectations and directions; answers are the prompts' own."""
    found: list[Asked] = []
    for name, node in parts.known_supernodes():
        if node.select is not None:
            path, rule = ("supernodes", name, "select", "toward"), node.select
            found += [Asked(path, token, rule.explained) for token in direction_tokens(rule.toward)]
    for name, spec in parts.known_interventions():
        place = ("interventions", name)
        found += asked_by((*place, "expect"), spec.expect, spec.prompts)
        if spec.doses is not None:
            found += asked_by((*place, "doses", "expect"), spec.doses.expect, spec.prompts)
    for name, study in parts.known_studies():
        found += study.asked_tokens(parts, (study.SECTION, name))
    found += parts.graph.asked_tokens() if parts.graph else ()
    found += _asked_of_controls(parts)
    return found


def _asked_of_controls(parts: Parts) -> Iterator[Asked]:
    """Tokens that rules go toward when they are carried out on other prompts, and their readings.

    A rule goes toward what it goes toward on its own prompts, and toward `controls.answers`.
    """
    compared = _procedure_compared(parts)
    other = [(("controls", "answers", n), token) for n, token in enumerate(parts.controls.answers)]
    read = tuple(dict.fromkeys(prompt for spec in compared for prompt in spec.prompts))
    yield from (Asked(path, token, read) for path, token in other)
    for name in dict.fromkeys(name for spec in compared for name in spec.clamp):
        node = parts.supernodes.get(name)
        rule = node.select if node is not None else None
        if rule is None or rule.is_blind:
            continue
        path = ("supernodes", name, "select", "toward")
        known = [found for prompt in rule.on if (found := parts.prompts.get(prompt)) is not None]
        answers = {prompt.answer for prompt in known if prompt.answer is not None}
        named = direction_tokens(rule.toward) or tuple(sorted(answers))
        tokens = dict.fromkeys((*named, *_read_on(named, known)))
        made_on = (*rule.on, *rule.compared_with, *parts.controls.donors)
        for place, token in (*((path, token) for token in tokens), *other):
            yield Asked(place, token, made_on)


def _read_on(tokens: Iterable[str], prompts: Iterable[PromptSpec]) -> Iterator[str]:
    """Tokens as they read on prompts; one that cannot be read is told of elsewhere."""
    for token, prompt in product(tokens, prompts):
        with suppress(TemplateMistake):
            yield render_token(token, prompt)


def _written(parts: Parts) -> list[Asked]:
    """Everything that may hold variables: tokens, and the words expected of generated text."""
    words = [
        Asked(("interventions", name, "expect", number, key), words, spec.prompts)
        for name, spec in parts.known_interventions()
        for number, expectation in enumerate(spec.expect)
        for key, words in expectation.words().items()
    ]
    return [*asked_tokens(parts), *words]


def _text_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in everything that another template could break."""
    yield from prompt_problems(parts, _asked_variables(_written(parts)))
    yield from held_out_problems(parts)
    yield from supernode_problems(parts)
    yield from _donor_problems(parts)
    yield from _intervention_problems(parts)
    for name, study in parts.known_studies():
        yield from study.problems(parts, (study.SECTION, name))
    yield from _name_problems(parts)


def _intervention_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the interventions."""
    for name, spec in parts.known_interventions():
        path = ("interventions", name)
        yield from parts.prompt_problems((*path, "prompts"), spec.prompts)
        for supernode in spec.clamp:
            yield from clamp_problems(parts, path, spec, supernode)
        for index, pattern in enumerate(spec.attention):
            yield from pattern.problems(parts, (*path, "attention", index), spec.prompts)
        if not spec.clamp and not spec.attention and parts.is_whole(*path):
            yield Problem(path, "it clamps nothing: give it `clamp`, or `attention`")
        yield from _dose_problems(parts, path, spec)
        yield from _generation_problems((*path, "generate"), spec)
        for index, expectation in enumerate(spec.expect):
            place = (*path, "expect", index)
            yield from expectation.problems(parts, place, spec)
        no_doses = spec.doses is None or not spec.doses.expect
        if not spec.expect and no_doses and parts.is_whole(*path):
            yield Problem(path, "it expects nothing: give it `expect`, or `doses` with `expect`")


def _procedure_compared(parts: Parts) -> list[InterventionSpec]:
    """Interventions, those of studies too, that are held against their rule on wrong donors."""
    specs = [s for _, s in parts.known_interventions()]
    specs += [s for name, study in parts.known_studies() for _, s in study.interventions(name)]
    return [spec for spec in specs if spec.is_procedure_compared]


def _donor_problems(parts: Parts) -> Iterator[Problem]:
    """Wrong donors that are none, or that no expectation asks for."""
    path = ("controls", "donors")
    donors = parts.controls.donors
    if not donors:
        return
    yield from parts.prompt_problems(path, donors)
    without = parts.without_answer(donors)
    if without:
        yield Problem(
            path, f"on {prompts_named(without)}: no `answer`, so nobody knows it is wrong"
        )
    compared = _procedure_compared(parts)
    if not compared and parts.is_whole("interventions"):
        yield Problem(path, "nobody asks for them: expect `beats_procedure` of an intervention")
    for name in dict.fromkeys(name for spec in compared for name in spec.clamp):
        node = parts.supernodes.get(name)
        if node is not None and node.select is not None:
            yield from parts.span_problems(path, node.span, donors)


def _dose_problems(parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
    if spec.doses is None:
        return
    if spec.doses.of not in spec.clamp and parts.is_whole(*path):
        yield Problem((*path, "doses", "of"), unknown("clamp", spec.doses.of, spec.clamp))
    factors = spec.doses.factors
    for index, factor in enumerate(factors):
        if factor in factors[:index]:
            yield Problem((*path, "doses", "factors", index), f"the dose {factor:g} is given twice")


def _generation_problems(path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
    """Mistakes in the settings of an intervention that generates, at its `generate`."""
    how = spec.generate
    if how is None:
        return
    if spec.freeze == "all":
        yield Problem(
            (*path[:-1], "freeze"),
            "`all` leaves nothing but direct effects on the prompt's next token, so no text can be "
            "generated: write none or attention",
        )
    if how.samples > 1 and how.temperature == 0:
        yield Problem(
            (*path, "samples"),
            "at temperature 0 every sample is the same text: give a `temperature` above 0, or one "
            "sample",
        )


def _claims(parts: Parts) -> dict[str, Mapping[str, object]]:
    """Everything that is judged under a name of its own, by section."""
    return {"interventions": parts.interventions, **parts.studies}


def _name_problems(parts: Parts) -> Iterator[Problem]:
    """A verdict tells what it judged by name alone."""
    taken: dict[str, str] = {}
    for section, members in _claims(parts).items():
        for name in members:
            if name == GRAPH and section != "interventions":
                message = f"{GRAPH!r} stands for the attribution graph: give it another name"
                yield Problem((section, name), message)
            elif name in taken:
                message = f"the name {name!r} is taken in `{taken[name]}`: give it another"
                yield Problem((section, name), message)
            taken.setdefault(name, section)


def _nothing_expected(parts: Parts) -> Iterator[Problem]:
    sections = {**_claims(parts), GRAPH: parts.graph}
    if not any(sections.values()) and all(map(parts.is_whole, sections)):
        message = f"it claims nothing that can be tested: give it one of {listed(sections)}"
        yield Problem((), message)


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


def _model_problems(parts: Parts) -> Iterator[Problem]:
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
    if not all(map(parts.is_whole, ("supernodes", *_claims(parts)))):
        return
    used: set[str] = set(parts.graph.prompts if parts.graph else ())
    for _, node in parts.known_supernodes():
        used.update(node.own_prompts)
    for _, spec in parts.known_interventions():
        used.update((*spec.prompts, *donors(spec.clamp)))
        used.update(each.like for each in spec.attention if each.like is not None)
    used.update(parts.controls.donors)
    for _, study in parts.known_studies():
        used.update(study.named_prompts())
    for name in parts.prompts:
        if name not in used and name not in RESERVED:
            yield Problem(("prompts", name), "nobody uses this prompt: name it, or remove it")


def _unused_supernodes(parts: Parts) -> Iterator[Problem]:
    if not all(map(parts.is_whole, _claims(parts))):
        return
    expected = list(parts.graph.expect if parts.graph else ())
    used: set[str] = {name for edge in expected for name in edge.supernodes()}
    for _, spec in parts.known_interventions():
        used.update((*spec.clamp, *(name for each in spec.expect for name in each.supernodes())))
        used.update(each.heads for each in spec.attention if isinstance(each.heads, str))
    for _, study in parts.known_studies():
        used.update(study.named_supernodes())
    for name in parts.supernodes:
        if name not in used:
            message = "nobody uses this supernode: clamp it, expect something of it, or remove it"
            yield Problem(("supernodes", name), message)
