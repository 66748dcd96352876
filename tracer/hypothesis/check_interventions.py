"""What the schema cannot say about interventions: their clamps, doses and expectations.

What the schema cannot say about generated text: where it means nothing, what to look for.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.errors import KeyPath, Problem, listed, unknown
from tracer.hypothesis.check_supernodes import (
    anchor,
    anchored,
    has_source,
    is_placed,
    prompt_list,
    span_problems,
)
from tracer.hypothesis.clamps import HERE, UNITS, ClampSpec, InterventionSpec
from tracer.hypothesis.expectations.across import ACROSS_TESTS, across_problems
from tracer.hypothesis.expectations.effect import LogitDiff, Probability, Thresholds
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.registry import Expectation
from tracer.hypothesis.expectations.text import TextExpectation, words_of
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.spec import SupernodeSpec


def generation_problems(path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
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


def text_problems(
    path: KeyPath, expectation: TextExpectation, spec: InterventionSpec
) -> Iterator[Problem]:
    """Mistakes in one expectation of generated text."""
    key, words = next(iter(words_of(expectation).items()), ("language", None))
    if spec.generate is None:
        message = "no text is generated: give the intervention `generate`, {tokens: …}"
        yield Problem((*path, key), message)
    elif expectation.of_samples < 1 and spec.generate.samples == 1:
        yield Problem((*path, "of_samples"), "it says nothing: there is one sample of each prompt")
    if words is not None and not any(char.isalnum() for char in words):
        yield Problem((*path, key), f"found {words!r}; a word or more is expected")


_TESTS = tuple(name for name in Thresholds.model_fields if name != "mostly")
_CONTROL_TESTS = ("beats_controls", "undercuts_controls", *ACROSS_TESTS)
_FRACTION_TESTS = ("fraction_above", "fraction_below")


def intervention_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the interventions."""
    for name, spec in parts.known_interventions():
        path = ("interventions", name)
        yield from prompt_list(parts, (*path, "prompts"), spec.prompts)
        for supernode in spec.clamp:
            yield from clamp_problems(parts, path, spec, supernode)
        yield from _dose_problems(parts, path, spec)
        yield from generation_problems((*path, "generate"), spec)
        for index, expectation in enumerate(spec.expect):
            place = (*path, "expect", index)
            yield from expectation_problems(parts, place, spec, expectation)
        no_doses = spec.doses is None or not spec.doses.expect
        if not spec.expect and no_doses and parts.is_whole(*path):
            yield Problem(path, "it expects nothing: give it `expect`, or `doses` with `expect`")


def clamp_problems(
    parts: Parts, path: KeyPath, spec: InterventionSpec, name: str
) -> Iterator[Problem]:
    """Mistakes in the clamp of one supernode; `path` is that of what it stands in."""
    place = (*path, "clamp", name)
    if name not in parts.supernodes:
        yield Problem(place, unknown("supernode", name, parts.supernodes))
        return
    clamp = spec.clamp[name]
    clamp = clamp if isinstance(clamp, ClampSpec) else ClampSpec(times=clamp)
    if clamp.from_ is not None:
        yield from prompt_list(
            parts, (*place, "from"), clamp.from_, discovery="a donor", reserved=(HERE,)
        )
    yield from _amount_problems(place, clamp)
    node = parts.supernodes[name]
    if clamp.at is not None:
        yield from span_problems(parts, (*place, "at"), clamp.at, spec.prompts)
    if node is None:
        return
    yield from _clamp_needs(parts, place, spec, node, clamp)


def _amount_problems(place: KeyPath, clamp: ClampSpec) -> Iterator[Problem]:
    """One unit says how much; only a multiple of an activation comes from other prompts."""
    given = [unit for unit in UNITS if getattr(clamp, unit) is not None]
    if len(given) > 1:
        named = " and ".join(f"`{unit}`" for unit in given)
        yield Problem(place, f"it has {named}; one of them says how much")
    elif clamp.from_ is not None and clamp.amount.unit != "times":
        message = f"it says nothing beside `{given[0]}`, which takes no activation from elsewhere"
        yield Problem((*place, "from"), message)


def _clamp_needs(
    parts: Parts, place: KeyPath, spec: InterventionSpec, node: SupernodeSpec, clamp: ClampSpec
) -> Iterator[Problem]:
    """What a clamp asks of its supernode: a place on every prompt, and an activation."""
    name = str(place[-1])
    donors = [donor for donor in clamp.from_ or () if donor != HERE]
    written = spec.prompts if clamp.at is None else ()
    if anchored(node):
        if is_placed(parts, node):
            yield from span_problems(parts, place, anchor(node), (*written, *donors))
    elif clamp.at is not None:
        message = f"it says nothing: every feature of {name!r} has a position of its own"
        yield Problem((*place, "at"), message)
    unit, value = clamp.amount
    if unit == "add" and node.maxima is None and parts.is_whole("supernodes", name):
        message = f"{name!r} has no `maxima` to add a multiple of: give it those of its features"
        yield Problem((*place, "add"), message)
    factors = {value}
    if spec.doses is not None and spec.doses.of == name:
        factors |= set(spec.doses.factors)
    needs_source = unit == "times" and any(factors) and clamp.from_ is None
    if needs_source and not has_source(node) and parts.is_whole("supernodes", name):
        yield Problem(
            place,
            f"{name!r} has explicit features and no `source`, so there is no activation to "
            f"multiply: give the supernode a `source`, or write {{times: …, from: [{HERE}]}}",
        )


def _dose_problems(parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
    if spec.doses is None:
        return
    if spec.doses.of not in spec.clamp and parts.is_whole(*path):
        yield Problem((*path, "doses", "of"), unknown("clamp", spec.doses.of, spec.clamp))
    factors = spec.doses.factors
    for index, factor in enumerate(factors):
        if factor in factors[:index]:
            yield Problem((*path, "doses", "factors", index), f"the dose {factor:g} is given twice")


def expectation_problems(
    parts: Parts, path: KeyPath, spec: InterventionSpec, expectation: Expectation
) -> Iterator[Problem]:
    """Mistakes in one expectation of clamps; `path` is its own."""
    if isinstance(expectation, Fraction):
        yield from _one_test(parts, path, expectation, _FRACTION_TESTS)
        yield from _fraction_problems(parts, path, spec, expectation)
    if isinstance(expectation, Thresholds):
        yield from _one_test(parts, path, expectation, _TESTS)
        for test in _CONTROL_TESTS:
            if getattr(expectation, test) is not None and parts.controls.random == 0:
                message = "there are no controls to compare with: `controls.random` is 0"
                yield Problem((*path, test), message)
        if expectation.is_across:
            yield from across_problems(parts, path, spec.prompts, expectation)
    if isinstance(expectation, TextExpectation):
        yield from text_problems(path, expectation, spec)
    if isinstance(expectation, Probability):
        yield from _probability_problems(path, expectation)
    if isinstance(expectation, LogitDiff) and len(set(expectation.logit_diff)) == 1:
        yield Problem((*path, "logit_diff"), "both tokens are the same, so the difference is 0")


def _one_test(
    parts: Parts, path: KeyPath, expectation: Fraction | Thresholds, tests: tuple[str, ...]
) -> Iterator[Problem]:
    given = [test for test in tests if getattr(expectation, test) is not None]
    if len(given) > 1:
        yield Problem(path, f"it has {len(given)} tests, {listed(given)}; one is expected")
    if not given and parts.is_whole(*path[:2]):
        yield Problem(path, f"it tests nothing: one of {listed(tests)} is expected")


def _fraction_problems(
    parts: Parts, path: KeyPath, spec: InterventionSpec, expectation: Fraction
) -> Iterator[Problem]:
    name = expectation.supernode
    if name not in parts.supernodes:
        yield Problem((*path, "supernode"), unknown("supernode", name, parts.supernodes))
        return
    node = parts.supernodes[name]
    if node is None:
        return
    if anchored(node) and is_placed(parts, node):
        yield from span_problems(parts, (*path, "supernode"), anchor(node), spec.prompts)
    if expectation.of == "source" and not has_source(node) and parts.is_whole("supernodes", name):
        yield Problem((*path, "of"), f"the supernode {name!r} has no `source` to compare with")


def _probability_problems(path: KeyPath, expectation: Probability) -> Iterator[Problem]:
    bounds = {
        "above": (0 <= (expectation.above or 0) < 1, "from 0 to below 1"),
        "below": (0 < (1 if expectation.below is None else expectation.below) <= 1,
                  "above 0, to 1"),
        "rises_by": (-1 < (expectation.rises_by or 0) < 1, "between -1 and 1"),
        "falls_by": (-1 < (expectation.falls_by or 0) < 1, "between -1 and 1"),
    }  # fmt: skip
    for test, (has_meaning, allowed) in bounds.items():
        if not has_meaning:
            found = getattr(expectation, test)
            yield Problem(
                (*path, test),
                f"found {found:g}; a probability is from 0 to 1: {allowed} is expected",
            )
