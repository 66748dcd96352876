"""Held-out prompts only judge: nothing may be chosen on one, nor on one that says the same.

Which lists a held-out prompt may not stand in is checked where they are read
(`tracer.hypothesis.check_supernodes.prompt_list`); here, that a text is on one side only.

Which prompts depend on each other: those of one declared group, and those of one text.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.errors import Problem
from tracer.hypothesis.partial import Parts
from tracer.hypothesis.spec import Hypothesis, PromptSpec
from tracer.hypothesis.template import TemplateMistake, render_prompt

Content = tuple[tuple[str, str], ...]
"""Role and text of each part; blanks do not tell two texts apart."""


def content(prompt: PromptSpec, template: str | None) -> Content:
    """What a prompt says, whatever it is called; () where it has no text.

    Raises:
        TemplateMistake: its text cannot be rendered.
    """
    parts = render_prompt(prompt, template)
    roles = [message.role for message in prompt.messages or ()] or [""] * len(parts)
    return tuple(
        (role, " ".join(part.text.split())) for role, part in zip(roles, parts, strict=True)
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


def leaks(found_in: Hypothesis, hypothesis: Hypothesis) -> tuple[str, ...]:
    """Held-out prompts that another hypothesis found its supernodes on, whatever it calls them."""
    on = [
        name
        for supernode, node in found_in.supernodes.items()
        if supernode in hypothesis.supernodes
        for name in (
            *(node.source or ()),
            *((*node.select.on, *node.select.against) if node.select else ()),
        )
    ]
    seen = {content(found_in.prompts[name], found_in.template) for name in on}
    return tuple(
        name
        for name, prompt in hypothesis.prompts.items()
        if prompt.held_out and content(prompt, hypothesis.template) in seen
    )


def group_of(hypothesis: Hypothesis, prompt: str) -> str:
    """What a prompt is drawn, and changes sign, together with: a key, not a text for people."""
    return dependence(hypothesis.prompts[prompt], hypothesis.template)


def dependence(prompt: PromptSpec, template: str | None) -> str:
    """The same for one prompt alone.

    Raises:
        TemplateMistake: its text cannot be rendered.
    """
    if prompt.group is not None:
        return f"group {prompt.group}"
    return f"text {content(prompt, template)}"
