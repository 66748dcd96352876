"""How much a page holds, and how it says what it leaves out.

A run may have ten thousand expectations, a thousand interventions or a prompt as long as a book. A
page of them all would be tens of megabytes that no browser opens and nobody reads, so it shows what
failed first, counts the rest, and says where the rest is. Nothing is left out without a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_LISTED = 500
"""Expectations that a page lists; a browser is slow with more, and nobody reads them."""
MAX_LINES = 3_000
"""Prompts under all of them together."""
MAX_INTERVENTIONS = 24
"""Interventions that are drawn."""
MAX_TRIALS = 160
"""Prompts whose outputs, controls and doses are drawn, of all interventions together."""
MAX_STRIPS = 240
"""Rows of control strips on a page: one for each measure and prompt."""
MAX_DOTS = 250
"""Controls that a row draws."""
MAX_PROMPTS = 200
"""Prompts whose text is listed."""
MAX_TEXT = 60_000
"""Characters of all those texts together."""
MAX_CAPTION = 1_200
"""Characters of a prompt under its picture."""
MAX_FILE = 120_000
"""Characters of the hypothesis file."""
MAX_MEMBERS = 3_000
"""Features listed as members, of all supernodes together."""
MAX_SAMPLES = 240
"""Generated texts, unclamped beside clamped, of all interventions together."""
MAX_SAMPLE = 2_000
"""Characters of one of them."""
MAX_EDGES = 120
"""Direct effects between supernodes in the table of one graph."""
MAX_FAILURES = 200
"""Swaps that are listed as failed."""
MAX_NOTES = 60
"""Caveats, and parts that were changed afterwards."""


@dataclass(frozen=True)
class Cut(Generic[Item]):
    """What is shown of a list."""

    kept: tuple[Item, ...]
    note: str = ""
    """Says how much is left out and where it stands; empty where nothing is."""


def cut(items: Sequence[Item], most: int, what: str, where: str) -> Cut[Item]:
    """The first `most`; `what` names the items in the plural, `where` says where all are."""
    if len(items) <= most:
        return Cut(tuple(items))
    note = f"Shown: {most:,} of {len(items):,} {what}. All of them are in {where}."
    return Cut(tuple(items[:most]), note)


def each_of(most: int, n: int, least: int) -> int:
    """How much of a page's `most` one of n things gets; `least` even where that is too much."""
    return max(least, most // max(n, 1))


def middle_out(text: str, length: int) -> str:
    """A long text without its middle: it begins and ends as it does, and says how much is gone."""
    if len(text) <= length:
        return text
    n_gone = len(text) - length
    head = 2 * length // 3
    return f"{text[:head]} ⟨… {n_gone:,} characters left out …⟩ {text[head + n_gone :]}"
