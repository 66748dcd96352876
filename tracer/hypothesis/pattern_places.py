"""Pattern clamps and weights held against the tokens of the prompts that they are used on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracer.errors import KeyPath, Mistake, prompts_named
from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.load import HypothesisFile

Sizes = Mapping[str, tuple[int, Mapping[str, tuple[int, int]]]]
"""By prompt, how many tokens it has, and its spans; one that cannot be tokenized is not there."""


def pattern_mistakes(file: HypothesisFile, sizes: Sizes) -> Iterator[Mistake]:
    """Queries that come before all of their keys, and patterns of prompts of another length."""
    for name, spec in all_interventions(file.hypothesis).items():
        known = {prompt: sizes[prompt] for prompt in spec.prompts if prompt in sizes}
        asked: list[tuple[KeyPath, str, str]] = []
        for number, clamp in enumerate(spec.attention):
            path = ("interventions", name, "attention", number)
            if clamp.like is not None and clamp.like in sizes:
                n = sizes[clamp.like][0]
                other = [prompt for prompt, (length, _) in known.items() if length != n]
                if other:
                    message = (
                        f"{clamp.like} has {n} tokens and {prompts_named(other)} "
                        f"{known[other[0]][0]}: a pattern fits a prompt of its own length"
                    )
                    yield file.mistake((*path, "like"), message)
            if clamp.from_ is not None and clamp.to is not None:
                asked.append(((*path, "to"), clamp.from_, clamp.to))
        for number, expectation in enumerate(spec.expect):
            if isinstance(expectation, Attends):
                path = ("interventions", name, "expect", number, "attends", "to")
                asked.append((path, expectation.attends.from_, expectation.attends.to))
        for path, query, key in asked:
            blind = [
                prompt
                for prompt, (_, spans) in known.items()
                if query in spans and key in spans and spans[query][1] <= spans[key][0]
            ]
            if blind:
                message = (
                    f"on {prompts_named(blind)}: {key!r} comes after {query!r}, and a token sees "
                    "none that comes after it"
                )
                yield file.mistake(path, message)
