"""What the schema cannot say about interventions: their clamps, doses, texts and expectations."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.errors import KeyPath, Problem, unknown
from tracer.hypothesis.check_clamps import clamp_problems
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.parts import Parts


def intervention_problems(parts: Parts) -> Iterator[Problem]:
    """Mistakes in the interventions."""
    for name, spec in parts.known_interventions():
        path = ("interventions", name)
        yield from parts.prompt_problems((*path, "prompts"), spec.prompts)
        for supernode in spec.clamp:
            yield from clamp_problems(parts, path, spec, supernode)
        yield from _dose_problems(parts, path, spec)
        yield from _generation_problems((*path, "generate"), spec)
        for index, expectation in enumerate(spec.expect):
            place = (*path, "expect", index)
            yield from expectation.problems(parts, place, spec)
        no_doses = spec.doses is None or not spec.doses.expect
        if not spec.expect and no_doses and parts.is_whole(*path):
            yield Problem(path, "it expects nothing: give it `expect`, or `doses` with `expect`")


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
