"""Which interventions, prompts and measures of a run are drawn where it has too many for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tracer.evidence.bench import JudgedOutcomes
from tracer.evidence.verdict import Outcome, by_intervention, rank
from tracer.record import Record, Trial
from tracer.report.effects import Arrays, Comparison, Measure, compare
from tracer.report.limits import (
    MAX_INTERVENTIONS,
    MAX_STRIPS,
    MAX_TRIALS,
    Cut,
    each_of,
)

_FEWEST_TRIALS = 4
_MOST_MEASURES = 12


@dataclass(frozen=True)
class Room:
    """What one intervention may take of a page."""

    n_trials: int = MAX_TRIALS
    n_strips: int = MAX_STRIPS
    """Rows of control strips."""


Plotted = tuple[Measure, tuple[Comparison, ...]]


def drawn_interventions(record: Record, outcomes: Sequence[Outcome]) -> Cut[str]:
    """The file's interventions in its order; where they are too many, those that did worst."""
    names = [name for name in record.interventions if name in record.hypothesis.interventions]
    if len(names) <= MAX_INTERVENTIONS:
        return Cut(tuple(names), "")
    judged = {name: min(map(rank, own)) for name, own in by_intervention(outcomes).items()}
    worst = sorted(names, key=lambda name: judged.get(name, inf))
    chosen = set(worst[:MAX_INTERVENTIONS])
    told = (
        f"Drawn on this page: {MAX_INTERVENTIONS} of {len(names):,} interventions, those with a "
        "failed expectation first. All of them are in run.json and verdict.json."
    )
    return Cut(tuple(name for name in names if name in chosen), told)


def room_for(n_interventions: int) -> Room:
    """What each of so many may take."""
    return Room(
        each_of(MAX_TRIALS, n_interventions, _FEWEST_TRIALS),
        each_of(MAX_STRIPS, n_interventions, _FEWEST_TRIALS),
    )


def drawn_trials(record: Record, trials: Sequence[Trial], room: Room) -> Cut[Trial]:
    """Trials in their order; where they are too many, the first of each split, half and half."""
    most = room.n_trials
    if len(trials) <= most:
        return Cut(tuple(trials), "")
    held_out = [trial for trial in trials if record.prompts[trial.prompt].held_out]
    n_discovery = len(trials) - len(held_out)
    n_held_out = min(len(held_out), max(most // 2, most - n_discovery))
    kept = (*trials[: most - n_held_out], *held_out[:n_held_out])
    told = f"Drawn: {most:,} of {len(trials):,} prompts. The medians and the verdict are of all."
    return Cut(kept, told)


def plotted(
    record: Record,
    name: str,
    asked: Sequence[Measure],
    arrays: Arrays,
    judged: JudgedOutcomes,
    room: Room,
) -> Cut[Plotted]:
    """The measures that the file compares with controls, or else the leading one that has any."""
    trials = record.interventions[name].trials.values()
    if not any(trial.n_controls for trial in trials):
        return Cut((), "")
    tested = [measure for measure in asked if measure.tail is not None]
    most = min(_MOST_MEASURES, each_of(room.n_strips, min(len(trials), room.n_trials), 1))
    found = _usable(record, name, tested, arrays, judged, most)
    if found:
        return Cut(found, _untold(len(found), len(tested), most))
    return Cut(_usable(record, name, asked, arrays, judged, 1), "")


def _usable(
    record: Record,
    name: str,
    asked: Sequence[Measure],
    arrays: Arrays,
    judged: JudgedOutcomes,
    most: int,
) -> tuple[Plotted, ...]:
    """The first so many that have controls."""
    found: list[Plotted] = []
    for measure in asked:
        compared = compare(record, name, measure, arrays, judged)
        if any(each.controls for each in compared):
            found.append((measure, compared))
        if len(found) == most:
            break
    return tuple(found)


def _untold(n: int, n_tested: int, most: int) -> str:
    if n < most or n == n_tested:
        return ""
    return f"Plotted: {n} of {n_tested:,} measures that are compared with controls."
