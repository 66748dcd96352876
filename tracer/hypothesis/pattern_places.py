"""Pattern clamps, weights and scores held against the tokens of the prompts they are used on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tracer.errors import KeyPath, Mistake, prompts_named
from tracer.hypothesis.expectations.because import MEAN, Because
from tracer.hypothesis.load import HypothesisFile

Sizes = Mapping[str, tuple[int, Mapping[str, tuple[int, int]]]]
"""By prompt, how many tokens it has, and its spans; one that cannot be tokenized is not there."""


def pattern_mistakes(file: HypothesisFile, sizes: Sizes) -> Iterator[Mistake]:
    """Queries that come before all of their keys, and patterns of prompts of another length."""
    for name, spec in file.hypothesis.interventions.items():
        for number, clamp in enumerate(spec.attention):
            path = ("interventions", name, "attention", number)
            if clamp.like is not None:
                yield from _other_length(file, (*path, "like"), clamp.like, spec.prompts, sizes)
            elif clamp.from_ is not None and clamp.to is not None:
                place, spans = (*path, "to"), (clamp.from_, clamp.to)
                yield from _too_early(file, place, spans, spec.prompts, sizes)
    for path, prompts, asked in file.hypothesis.weights_asked():
        yield from _too_early(file, (*path, "to"), (asked.from_, asked.to), prompts, sizes)
    yield from _score_mistakes(file, sizes)


def _score_mistakes(file: HypothesisFile, sizes: Sizes) -> Iterator[Mistake]:
    """Scores of queries that come before a key."""
    graph = file.hypothesis.graph
    of_last = {prompt: (n, _last_tokens(spans)) for prompt, (n, spans) in sizes.items()}
    for number, each in enumerate(graph.expect if graph else ()):
        if graph and isinstance(each, Because):
            asked = each.because
            keys = {"to": asked.to} | ({} if asked.against == MEAN else {"against": asked.against})
            for key, span in keys.items():
                path = ("graph", "expect", number, "because", key)
                yield from _too_early(file, path, (asked.from_, span), graph.prompts, of_last)


def _last_tokens(spans: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
    """A score is of the spans' last tokens."""
    return {name: (stop - 1, stop) for name, (_, stop) in spans.items()}


def _other_length(
    file: HypothesisFile, path: KeyPath, like: str, prompts: tuple[str, ...], sizes: Sizes
) -> Iterator[Mistake]:
    if like not in sizes:
        return
    n = sizes[like][0]
    other = [prompt for prompt in prompts if prompt in sizes and sizes[prompt][0] != n]
    if other:
        message = (
            f"{like} has {n} tokens and {prompts_named(other)} {sizes[other[0]][0]}: a pattern "
            "fits a prompt of its own length"
        )
        yield file.mistake(path, message)


def _too_early(
    file: HypothesisFile,
    path: KeyPath,
    spans: tuple[str, str],
    prompts: tuple[str, ...],
    sizes: Sizes,
) -> Iterator[Mistake]:
    query, key = spans
    places = {prompt: sizes[prompt][1] for prompt in prompts if prompt in sizes}
    blind = [
        prompt
        for prompt, at in places.items()
        if query in at and key in at and at[query][1] <= at[key][0]
    ]
    if blind:
        message = (
            f"on {prompts_named(blind)}: {key!r} comes after {query!r}, and a token sees none that "
            "comes after it"
        )
        yield file.mistake(path, message)
