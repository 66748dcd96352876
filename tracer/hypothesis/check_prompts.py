"""What the schema cannot say about prompts: their text, variables and spans."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from tracer.errors import KeyPath, Problem, did_you_mean, listed, shorten
from tracer.hypothesis.clamps import RESERVED
from tracer.hypothesis.held_out import Content, content
from tracer.hypothesis.parts import Parts
from tracer.hypothesis.spec import PromptSpec
from tracer.hypothesis.template import (
    TemplateMistake,
    render,
    rendered,
    sources,
    span_places,
    variables,
)

_KEYS = tuple(PromptSpec.model_fields)


def prompt_problems(parts: Parts, asked: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Mistakes in the prompts; `asked` are the variables that expected tokens name, by prompt."""
    yield from _template_problems(parts)
    for name in parts.prompts:
        if name in RESERVED:
            yield Problem(("prompts", name), f"the name {name!r} is reserved; choose another")
    for name, prompt in parts.known_prompts():
        path = ("prompts", name)
        if parts.is_whole("template") and parts.is_whole(*path):
            yield from _source_problems(path, prompt, parts.template)
            yield from _missing_values(path, prompt, parts.template)
        yield from _text_problems(path, prompt)
        yield from _unused_variables(path, prompt, parts.template, asked.get(name, ()))
        yield from _span_problems(path, prompt, parts.template)


def _template_problems(parts: Parts) -> Iterator[Problem]:
    if parts.template is None:
        return
    try:
        variables(parts.template)
    except TemplateMistake as mistake:
        yield Problem(("template",), str(mistake))
    if not parts.template.strip():
        yield Problem(("template",), "the text is empty")
    own = [p is not None and sources(p, None) != () for p in parts.prompts.values()]
    if own and all(own):
        yield Problem(("template",), "no prompt uses the template: each has its own text")


def _source_problems(path: KeyPath, prompt: PromptSpec, template: str | None) -> Iterator[Problem]:
    if prompt.text is not None and prompt.messages is not None:
        yield Problem(path, "it has both `text` and `messages`; a prompt has one source of text")
        return
    texts = sources(prompt, template)
    if prompt.messages == ():
        yield Problem((*path, "messages"), "the list is empty; one message or more is expected")
    elif not texts:
        near = "".join(did_you_mean(name, ("text", "messages")) for name in prompt.variables)
        yield Problem(
            path, f"it has no text: give it `text` or `messages`, or the file a `template`.{near}"
        )


def _places_of_text(path: KeyPath, prompt: PromptSpec) -> list[KeyPath]:
    if prompt.text is not None:
        return [(*path, "text")]
    if prompt.messages is not None:
        return [(*path, "messages", i, "content") for i in range(len(prompt.messages))]
    return [path]


def _text_problems(path: KeyPath, prompt: PromptSpec) -> Iterator[Problem]:
    texts = sources(prompt, None)
    for place, text in zip(_places_of_text(path, prompt), texts, strict=False):
        try:
            variables(text)
        except TemplateMistake as mistake:
            yield Problem(place, str(mistake))
        if not text.strip():
            yield Problem(place, "the text is empty")


def _missing_values(path: KeyPath, prompt: PromptSpec, template: str | None) -> Iterator[Problem]:
    for place, text in zip(_places_of_text(path, prompt), sources(prompt, template), strict=False):
        try:
            names = variables(text)
        except TemplateMistake:
            continue
        for name in names:
            try:
                render(f"{{{name}}}", prompt.variables)
            except TemplateMistake as mistake:
                yield Problem(place, str(mistake))


def _unused_variables(
    path: KeyPath, prompt: PromptSpec, template: str | None, asked: Collection[str]
) -> Iterator[Problem]:
    texts = sources(prompt, template)
    try:
        used = {name for text in texts for name in variables(text)}
    except TemplateMistake:
        return
    for name in prompt.variables:
        if name in RESERVED:
            yield Problem((*path, name), f"the name {name!r} is reserved; choose another")
        elif texts and name not in used and name not in asked:
            known = [*_KEYS, *(word for word in used if word not in prompt.variables)]
            yield Problem(
                (*path, name),
                f"unknown key {name!r}: the text has no {{{name}}}."
                f"{did_you_mean(name, known)} Allowed: {listed([*_KEYS, *sorted(used)])}.",
            )


def _span_problems(path: KeyPath, prompt: PromptSpec, template: str | None) -> Iterator[Problem]:
    where = span_places(prompt, template)
    text = " ".join(part.text for part in rendered(prompt, template) or ())
    for name, wanted in prompt.spans.items():
        place = (*path, "spans", name)
        if name in RESERVED:
            yield Problem(place, f"the name {name!r} is reserved; choose another")
        elif name in prompt.variables:
            yield Problem(place, f"{name!r} is already the span of the variable {{{name}}}")
        elif not wanted:
            yield Problem(place, "it is empty; a piece of the prompt's text is expected")
        elif where is not None and text and not where[name]:
            yield Problem(place, f"{wanted!r} does not occur in {shorten(text, 160)!r}")
        elif where is not None and len(where[name]) > 1:
            yield Problem(
                place,
                f"{wanted!r} occurs {len(where[name])} times in {shorten(text, 160)!r}: "
                "lengthen it until it occurs once",
            )


def held_out_problems(parts: Parts) -> Iterator[Problem]:
    """Held-out prompts whose text a discovery prompt has as well."""
    if not parts.is_whole("template"):
        return
    said: dict[Content, str] = {}
    held_out: dict[str, Content] = {}
    for name, prompt in parts.known_prompts():
        try:
            found = content(prompt, parts.template)
        except TemplateMistake:
            continue  # told where the text is
        if found and prompt.held_out:
            held_out[name] = found
        elif found:
            said.setdefault(found, name)
    for name, found in held_out.items():
        if found in said:
            message = (
                f"it is held out, and the discovery prompt {said[found]!r} has the same text: "
                "what is found on the one would be judged on the other"
            )
            yield Problem(("prompts", name), message)
