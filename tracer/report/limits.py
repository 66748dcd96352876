"""How much a page holds, what it draws of too much, and how it says what it leaves out.

A run may have ten thousand expectations, a thousand interventions or a prompt as long as a book. A
page of them all would be tens of megabytes that no browser opens and nobody reads, so it shows what
failed first, counts the rest, and says where the rest is. Nothing is left out without a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from tracer.evidence.context import JudgedOutcomes
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.trials import Trial
from tracer.record.verdict import Outcome, by_intervention, rank
from tracer.report.effects import EffectComparison, Measure, compare

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


_FEWEST_TRIALS = 4
_MOST_MEASURES = 12


@dataclass(frozen=True)
class Quota:
    """How much of a page one intervention may take."""

    n_trials: int = MAX_TRIALS
    n_strips: int = MAX_STRIPS
    """Rows of control strips."""


MeasuredEffects = tuple[Measure, tuple[EffectComparison, ...]]


def quota_of(n_interventions: int) -> Quota:
    """What each of so many interventions may take."""
    return Quota(
        each_of(MAX_TRIALS, n_interventions, _FEWEST_TRIALS),
        each_of(MAX_STRIPS, n_interventions, _FEWEST_TRIALS),
    )


def select_interventions(record: Record, outcomes: Sequence[Outcome]) -> Cut[str]:
    """The file's interventions in its order; where they are too many, those that did worst."""
    names = [name for name in record.interventions if name in record.hypothesis.interventions]
    if len(names) <= MAX_INTERVENTIONS:
        return Cut(tuple(names))
    judged = {name: min(map(rank, own)) for name, own in by_intervention(outcomes).items()}
    worst = sorted(names, key=lambda name: judged.get(name, inf))
    chosen = set(worst[:MAX_INTERVENTIONS])
    note = (
        f"Drawn on this page: {MAX_INTERVENTIONS} of {len(names):,} interventions, those with a "
        "failed expectation first. All of them are in run.json and verdict.json."
    )
    return Cut(tuple(name for name in names if name in chosen), note)


def select_trials(record: Record, trials: Sequence[Trial], quota: Quota) -> Cut[Trial]:
    """Trials in their order; where they are too many, the first of each split, half and half."""
    most = quota.n_trials
    if len(trials) <= most:
        return Cut(tuple(trials))
    held_out = [trial for trial in trials if record.prompts[trial.prompt].held_out]
    n_discovery = len(trials) - len(held_out)
    n_held_out = min(len(held_out), max(most // 2, most - n_discovery))
    kept = (*trials[: most - n_held_out], *held_out[:n_held_out])
    note = f"Drawn: {most:,} of {len(trials):,} prompts. The medians and the verdict are of all."
    return Cut(kept, note)


def select_measures(
    record: Record,
    name: str,
    asked: Sequence[Measure],
    arrays: Arrays,
    judged: JudgedOutcomes,
    quota: Quota,
) -> Cut[MeasuredEffects]:
    """The measures that the file compares with controls, or else the leading one that has any."""
    trials = record.interventions[name].trials.values()
    if not any(trial.n_controls for trial in trials):
        return Cut(())
    tested = [measure for measure in asked if measure.tail is not None]
    most = min(_MOST_MEASURES, each_of(quota.n_strips, min(len(trials), quota.n_trials), 1))
    found = _with_controls(record, name, tested, arrays, judged, most)
    if not found:
        return Cut(_with_controls(record, name, asked, arrays, judged, 1))
    if len(found) < most or len(found) == len(tested):
        return Cut(found)
    n_tested = f"{len(tested):,} measures that are compared with controls"
    return Cut(found, f"Plotted: {len(found)} of {n_tested}.")


def _with_controls(
    record: Record,
    name: str,
    asked: Sequence[Measure],
    arrays: Arrays,
    judged: JudgedOutcomes,
    most: int,
) -> tuple[MeasuredEffects, ...]:
    """The first so many that have controls."""
    found: list[MeasuredEffects] = []
    for measure in asked:
        compared = compare(record, name, measure, arrays, judged)
        if any(each.controls for each in compared):
            found.append((measure, compared))
        if len(found) == most:
            break
    return tuple(found)
