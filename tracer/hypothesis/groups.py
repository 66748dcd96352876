"""Which prompts depend on each other: those of one declared group; any other stands alone."""

from __future__ import annotations

from tracer.hypothesis.spec import Hypothesis


def group_of(hypothesis: Hypothesis, prompt: str) -> str:
    """What a prompt is drawn, and changes sign, together with: a key, not a text for people."""
    group = hypothesis.prompts[prompt].group
    return f"prompt {prompt}" if group is None else f"group {group}"
