"""The runs of the reports folder as the pages look them up: by id, newest first, and filtered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tracer.record.runs import RunEntry
from tracer.report.sections.overview import VERDICTS

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


class RunRow(NamedTuple):
    """One run as the table shows it."""

    id: str
    state: State
    hypothesis: str
    claim: str
    tags: tuple[str, ...]
    model: str
    when: str
    as_expected: bool | None
    problem: str


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


def rows(entries: Sequence[RunEntry]) -> tuple[RunRow, ...]:
    """Every run as a row, newest first."""
    return tuple(_row(entry) for entry in reversed(entries))


def _row(entry: RunEntry) -> RunRow:
    return RunRow(
        id=entry.id,
        state=state_of(entry),
        hypothesis=entry.hypothesis,
        claim=entry.claim or "",
        tags=entry.tags,
        model=entry.model or "",
        when=(entry.started or "").replace("T", " ").removesuffix("Z")[:16],
        as_expected=entry.as_expected,
        problem=entry.problem or "",
    )


def filtered(listed: Iterable[RunRow], wanted: RunFilters) -> tuple[RunRow, ...]:
    """The rows that every filter lets pass, in their order."""
    return tuple(row for row in listed if _passes(row, wanted))


def _passes(row: RunRow, wanted: RunFilters) -> bool:
    text = " ".join((row.id, row.claim, *row.tags, row.model, row.problem)).casefold()
    return (
        (not wanted.states or row.state in wanted.states)
        and (not wanted.tags or not wanted.tags.isdisjoint(row.tags))
        and (not wanted.models or row.model in wanted.models)
        and all(word in text for word in wanted.words.casefold().split())
    )


def counts(listed: Iterable[RunRow]) -> dict[State, int]:
    """How many runs there are of each state that occurs."""
    found = Counter(row.state for row in listed)
    return {state: found[state] for state in ICONS if found[state]}
