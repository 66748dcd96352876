"""Text with {variables}: the renderer of prompts and of expected tokens.

`{name}` is replaced, `{{` and `}}` are literal braces, any other brace is a mistake. A value is
inserted as it is, never rendered again, so no value can reach into the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from tracer.errors import did_you_mean, listed
from tracer.hypothesis.declared import is_name
from tracer.hypothesis.spec import PromptSpec

_MARKUP = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateMistake(ValueError):
    """Braces that are no variable, or a variable without a value; `str` is the sentence."""


@dataclass(frozen=True)
class Rendered:
    """Text with the character ranges of each variable, end excluded."""

    text: str
    ranges: Mapping[str, tuple[tuple[int, int], ...]]


class Place(NamedTuple):
    """A character range in one of a prompt's rendered parts, end excluded."""

    part: int
    start: int
    end: int


class _Piece(NamedTuple):
    literal: str
    variable: str | None


@lru_cache(maxsize=1024)
def _pieces(template: str) -> tuple[_Piece, ...]:
    pieces: list[_Piece] = []
    end = 0
    for match in _MARKUP.finditer(template):
        pieces.append(_Piece(template[end : match.start()], None))
        end = match.end()
        markup, name = match.group(), match.group(1)
        if markup in ("{{", "}}"):
            pieces.append(_Piece(markup[0], None))
        elif name is not None and is_name(name):
            pieces.append(_Piece("", name))
        else:
            raise TemplateMistake(
                f"{markup!r} at character {match.start() + 1} is no variable: write '{{name}}', "
                "or '{{' and '}}' for the braces themselves"
            )
    pieces.append(_Piece(template[end:], None))
    return tuple(pieces)


def variables(template: str) -> tuple[str, ...]:
    """The names of the variables, each once, in order.

    Raises:
        TemplateMistake: braces that are no variable.
    """
    return tuple(dict.fromkeys(p.variable for p in _pieces(template) if p.variable is not None))


def render(template: str, values: Mapping[str, str]) -> Rendered:
    """Fill in the variables.

    Raises:
        TemplateMistake: braces that are no variable, or a variable without a value.
    """
    text = ""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for literal, variable in _pieces(template):
        if variable is None:
            text += literal
            continue
        if variable not in values:
            given = f" Given: {listed(values)}." if values else " None is given."
            raise TemplateMistake(
                f"the variable {{{variable}}} has no value.{did_you_mean(variable, values)}{given}"
            )
        ranges.setdefault(variable, []).append((len(text), len(text) + len(values[variable])))
        text += values[variable]
    return Rendered(text, {name: tuple(found) for name, found in ranges.items()})


def token_values(prompt: PromptSpec) -> dict[str, str]:
    """What a token may name in braces on this prompt: its variables, and `answer`."""
    values = prompt.variables
    return values if prompt.answer is None else {**values, "answer": prompt.answer}


def render_token(token: str, prompt: PromptSpec) -> str:
    """A token of an expectation or a direction, as it reads on one prompt.

    Raises:
        TemplateMistake: see `render`.
    """
    if "{" not in token and "}" not in token:
        return token
    return render(token, token_values(prompt)).text


def renderings(written: str, prompts: Iterable[PromptSpec]) -> set[str]:
    """The ways in which a token of a file reads on some prompts."""
    return {render_token(written, prompt) for prompt in prompts}


def sources(prompt: PromptSpec, template: str | None) -> tuple[str, ...]:
    """The unrendered texts of a prompt: one, or one per chat message; none if it has no text."""
    if prompt.text is not None:
        return (prompt.text,)
    if prompt.messages is not None:
        return tuple(message.content for message in prompt.messages)
    return () if template is None else (template,)


def render_prompt(prompt: PromptSpec, template: str | None) -> tuple[Rendered, ...]:
    """A prompt's text: one part, or one per chat message before the chat template joins them.

    Raises:
        TemplateMistake: see `render`.
    """
    return tuple(render(text, prompt.variables) for text in sources(prompt, template))


def occurrences(text: str, wanted: str) -> list[int]:
    """Where `wanted` begins, overlapping ones counted apart."""
    if not wanted:
        return []
    return [i for i in range(len(text) - len(wanted) + 1) if text.startswith(wanted, i)]


def places(prompt: PromptSpec, parts: tuple[Rendered, ...]) -> dict[str, tuple[Place, ...]]:
    """Every place of every variable and declared span; empty values have none."""
    found: dict[str, list[Place]] = {name: [] for name in (*prompt.variables, *prompt.spans)}
    for number, part in enumerate(parts):
        for name, ranges in part.ranges.items():
            found[name] += [Place(number, start, end) for start, end in ranges if start < end]
        for name, wanted in prompt.spans.items():
            starts = occurrences(part.text, wanted)
            found[name] += [Place(number, start, start + len(wanted)) for start in starts]
    return {name: tuple(where) for name, where in found.items()}


def rendered(prompt: PromptSpec, template: str | None) -> tuple[Rendered, ...] | None:
    """The parts of a prompt's text, or None where a mistake in it is told elsewhere."""
    try:
        return render_prompt(prompt, template)
    except TemplateMistake:
        return None


def span_places(prompt: PromptSpec, template: str | None) -> Mapping[str, tuple[Place, ...]] | None:
    """Where the spans of a prompt are, or None where its text cannot be rendered."""
    parts = rendered(prompt, template)
    return None if parts is None else places(prompt, parts)
