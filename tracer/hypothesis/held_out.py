"""Which prompts have the same text: held-out ones only judge, dependent ones count as one group."""

from __future__ import annotations

from tracer.hypothesis.spec import Hypothesis, PromptSpec
from tracer.hypothesis.template import render_prompt

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


def leaks(found_in: Hypothesis, hypothesis: Hypothesis) -> tuple[str, ...]:
    """Held-out prompts that another hypothesis found its supernodes on, whatever it calls them."""
    on = [
        name
        for supernode, node in found_in.supernodes.items()
        if supernode in hypothesis.supernodes
        for name in node.own_prompts
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
