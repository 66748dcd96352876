"""Neutral text: plain openings of sentences, on which no hypothesis should have an effect.

Written for this purpose, on everyday subjects; each stops where several words could follow.
"""

from __future__ import annotations

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
