"""Which token of one prompt stands for which of another: the places that prompts have in common.

A place is a token by what it is to its prompt, not by its number:

- inside of a named span or variable: the span, and how many tokens before the span's last one.
  Spans of different lengths align at their ends, so `Fort Worth` has a place that `Dallas` lacks.
  Where spans overlap, a token is in the one that has fewest tokens over all prompts, then in the
  first by name;
- the last token, where it is in none of them: the span `last`;
- any other token: its text, the span that follows it, and how many more tokens of that text stand
  between the two. Texts that only some prompts have are places that only these have.

Prompts of one template must have as many tokens between their spans: where they have not, nothing
says which word of one is which of the other. Prompts of different templates need the same spans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from tracer.errors import listed
from tracer.hypothesis.clamps import LAST

_MINUS = "\u2212"


class TokenPlace(NamedTuple):
    """What a token is to its prompt."""

    span: str
    """The one that it is in; of a token outside of all, the one that follows."""
    back: int
    """Tokens to the span's end; outside, tokens of the same text to the span's beginning."""
    text: str | None = None
    """The token's text, outside of spans alone."""

    @property
    def label(self) -> str:
        """`{city}`, `{city−1}` for the token before its last one, or the token's text."""
        if self.text is not None:
            return self.text
        return f"{{{self.span}{_MINUS}{self.back}}}" if self.back else f"{{{self.span}}}"


@dataclass(frozen=True)
class SpannedPrompt:
    """A prompt's tokens, and the ranges of its spans."""

    name: str
    tokens: tuple[str, ...]
    """The text of each."""
    spans: Mapping[str, tuple[int, int]]
    """End excluded; `last` among them."""
    template: str | None = None
    """Prompts of one template differ inside of spans alone; None for texts of their own."""


@dataclass(frozen=True)
class Alignment:
    """The places of some prompts, in reading order, and where each prompt has them."""

    places: tuple[TokenPlace, ...]
    numbers: Mapping[str, Int[np.ndarray, " position"]]
    """By prompt, the number of the place at each position."""

    def having(self) -> Int[np.ndarray, " place"]:
        """How many prompts have each place."""
        found = np.zeros(len(self.places), dtype=np.int64)
        for numbers in self.numbers.values():
            found[numbers] += 1
        return found


class Misaligned(NamedTuple):
    """Why prompts have no places in common."""

    prompt: str
    reason: str
    """The rest of a sentence about it."""


def misaligned(prompts: Sequence[SpannedPrompt]) -> Misaligned | None:
    """The first prompt that does not align with those before it; None where all do."""
    names = _spans_by_length(prompts)
    of_template: dict[str | None, SpannedPrompt] = {}
    first = prompts[0]
    for prompt in prompts:
        wrong = _other_spans(prompt, first)
        like = of_template.setdefault(prompt.template, prompt)
        wrong = wrong or _other_lengths(prompt, like, names)
        if wrong:
            return Misaligned(prompt.name, wrong)
    return None


def align(prompts: Sequence[SpannedPrompt]) -> Alignment:
    """The places of prompts, of which none is `misaligned`.

    A place that one prompt lacks stands behind the one before it on the first prompt that has it.
    """
    names = _spans_by_length(prompts)
    order, known = list[TokenPlace](), set[TokenPlace]()
    found = {prompt.name: _places(prompt, names) for prompt in prompts}
    for places in found.values():
        at = 0
        for place in places:
            if place not in known:
                order.insert(at, place)
                known.add(place)
            elif order[at : at + 1] != [place]:
                at = order.index(place)
            at += 1
    number = {place: n for n, place in enumerate(order)}
    numbers = {name: np.array([number[each] for each in some]) for name, some in found.items()}
    return Alignment(tuple(order), numbers)


def _spans_by_length(prompts: Sequence[SpannedPrompt]) -> list[str]:
    """Names of all spans: that which takes a token where several have it comes first."""
    lengths: dict[str, int] = {}
    for prompt in prompts:
        for name, (start, end) in prompt.spans.items():
            lengths[name] = lengths.get(name, 0) + end - start
    return sorted(lengths, key=lambda name: (name == LAST, lengths[name], name))


def _span_at(prompt: SpannedPrompt, position: int, names: Sequence[str]) -> str | None:
    for name in names:
        start, end = prompt.spans.get(name, (0, 0))
        if start <= position < end:
            return name
    return None


def _places(prompt: SpannedPrompt, names: Sequence[str]) -> list[TokenPlace]:
    """By position; read from the end, as what is outside of spans is told by what follows."""
    found: list[TokenPlace] = []
    following, seen = LAST, dict[str, int]()
    for position in reversed(range(len(prompt.tokens))):
        span, text = _span_at(prompt, position, names), prompt.tokens[position]
        if span is None:
            found.append(TokenPlace(following, seen.get(text, 0), text))
            seen[text] = seen.get(text, 0) + 1
            continue
        found.append(TokenPlace(span, prompt.spans[span][1] - 1 - position))
        following, seen = span, {}
    return found[::-1]


def _other_spans(prompt: SpannedPrompt, first: SpannedPrompt) -> str | None:
    for one, other in ((first, prompt), (prompt, first)):
        missing = sorted(one.spans.keys() - other.spans.keys())
        if missing:
            of = "span" if len(missing) == 1 else "spans"
            return f"{other.name!r} lacks the {of} {listed(missing)}, which {one.name!r} has"
    return None


class _Stretch(NamedTuple):
    """Tokens in a row of one span, and those outside of all spans in front of them."""

    span: str
    n_before: int


def _stretches(prompt: SpannedPrompt, names: Sequence[str]) -> list[_Stretch]:
    found: list[_Stretch] = []
    n_before = 0
    inside = (_span_at(prompt, n, names) for n in range(len(prompt.tokens)))
    for span, some in groupby(inside):
        if span is None:
            n_before = len([*some])
        else:
            found.append(_Stretch(span, n_before))
            n_before = 0
    return found


def _other_lengths(prompt: SpannedPrompt, like: SpannedPrompt, names: Sequence[str]) -> str | None:
    """Where one has more tokens between spans than another of its template."""
    mine, theirs = _stretches(prompt, names), _stretches(like, names)
    if [each.span for each in mine] != [each.span for each in theirs]:
        return f"its spans stand in another order than those of {like.name!r}"
    for here, there in zip(mine, theirs, strict=True):
        if here.n_before != there.n_before:
            return (
                f"{here.n_before} tokens outside of spans stand before its {here.span!r}, where "
                f"{like.name!r} has {there.n_before}, so they do not align; what differs between "
                "prompts needs a span of its own"
            )
    return None
