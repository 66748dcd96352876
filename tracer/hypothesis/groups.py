"""Which prompts depend on each other: those of one declared group, and those of one text."""

from __future__ import annotations

from tracer.hypothesis.held_out import content
from tracer.hypothesis.spec import Hypothesis, PromptSpec


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
