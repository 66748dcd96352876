"""Neutral text, and which clamps are tried on it: those beyond what features are by themselves."""

from __future__ import annotations

from tracer.hypothesis.clamps import InterventionSpec, long_form

TEXTS = (
    "The kettle began to whistle, and she took two cups from the",
    "After the rain had stopped, the children went out into the",
    "He put on his coat, looked for his keys, and walked to the",
    "The old wooden table in the kitchen was covered with",
    "Most of the shops on the street were already",
    "It was a quiet afternoon, and nobody in the office wanted to",
    "The train was late again, so we decided to",
    "She opened the window because the room was too",
    "The recipe says to mix the flour with a little",
    "Before going to bed, he always reads a few pages of a",
    "The dog slept in front of the fire while the cat watched from the",
    "We painted the fence last summer, and it still looks",
)
"""Neutral text: openings of sentences on everyday subjects, on which no hypothesis should have an
effect. Written for this purpose; each stops where several words could follow."""
_LEAST, _MOST = 0, 2
"""Factors between which a feature is less than twice what it is on its sources."""


def is_extreme(spec: InterventionSpec) -> bool:
    """Whether a clamp sets its features beyond twice what they are, or to the other side of 0."""
    amounts = (long_form(clamp).amount for clamp in spec.clamp.values())
    return any(not _LEAST <= amount.value <= _MOST for amount in amounts)
