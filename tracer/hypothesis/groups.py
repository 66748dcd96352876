"""Which prompts depend on each other: those of one declared group, and those of one text."""

from __future__ import annotations

from tracer.hypothesis.held_out import content
from tracer.hypothesis.spec import Hypothesis


def group_of(hypothesis: Hypothesis, prompt: str) -> str:
    """What a prompt is drawn, and changes sign, together with: a key, not a text for people."""
    spec = hypothesis.prompts[prompt]
    if spec.group is not None:
        return f"group {spec.group}"
    return f"text {content(spec, hypothesis.template)}"
