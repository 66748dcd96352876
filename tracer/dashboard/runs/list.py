"""Runs of the reports folder as the page Runs lists, filters and counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from tracer.record.runs import RunEntry
from tracer.report.headline import VERDICTS

State = Literal[
    "confirmed", "refuted", "inconclusive", "error", "not judged", "measuring", "unreadable"
]
ICONS: Mapping[State, str] = {
    "confirmed": VERDICTS["confirmed"],
    "refuted": VERDICTS["refuted"],
    "inconclusive": VERDICTS["inconclusive"],
    "error": VERDICTS["error"],
    "not judged": "–",
    "measuring": "…",
    "unreadable": "⚠",
}
"""By state, in the order that filters list them."""


@dataclass(frozen=True)
class RunFilters:
    """What is wanted; an empty filter lets everything pass."""

    states: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    words: str = ""
    """All of them must occur in the run's name, claim, tags, model or problem; case is ignored."""


def state_of(entry: RunEntry) -> State:
    """What there is to say of a run in one word."""
    if entry.status is None:
        return "unreadable"
    if entry.status == "measuring":
        return "measuring"
    return entry.verdict or "not judged"


def when(started: str) -> str:
    """A time of the record as '2026-01-02 03:04'."""
    return started.replace("T", " ").removesuffix("Z")[:16]


def filtered(entries: Iterable[RunEntry], wanted: RunFilters) -> tuple[RunEntry, ...]:
    """The runs that every filter lets pass, in their order."""
    return tuple(entry for entry in entries if _passes(entry, wanted))


def _passes(entry: RunEntry, wanted: RunFilters) -> bool:
    texts = (entry.id, entry.claim or "", *entry.tags, entry.model or "", entry.problem or "")
    text = " ".join(texts).casefold()
    return (
        (not wanted.states or state_of(entry) in wanted.states)
        and (not wanted.tags or not wanted.tags.isdisjoint(entry.tags))
        and (not wanted.models or entry.model in wanted.models)
        and all(word in text for word in wanted.words.casefold().split())
    )


def counts(entries: Iterable[RunEntry]) -> dict[State, int]:
    """How many runs there are of each state that occurs."""
    found = Counter(map(state_of, entries))
    return {state: found[state] for state in ICONS if found[state]}
