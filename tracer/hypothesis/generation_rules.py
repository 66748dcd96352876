"""What the schema cannot say about generated text: where it means nothing, what to look for."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.hypothesis.interventions import InterventionSpec
from tracer.hypothesis.problem import KeyPath, Problem
from tracer.hypothesis.text_expectations import TextExpectation, words_of


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
