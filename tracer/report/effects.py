"""The number each intervention is about, before and after the clamps and on its controls.

Nothing is judged here: the p that is shown is read off the judged outcomes.

Which interventions, prompts and measures of a run are drawn where it has too many for a page.

What an intervention did, in a line: outputs, median effect, and how far the controls went.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tracer.evidence.context import JudgedOutcomes
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.expectations.effect import LogitDiff, Probability, Thresholds
from tracer.hypothesis.expectations.registry import Expectation
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot
from tracer.hypothesis.template import render_token
from tracer.record.record import PromptRecord, Record
from tracer.record.trials import Reading, TokenReading, Trial
from tracer.record.verdict import Outcome, by_intervention, rank
from tracer.report.limits import MAX_INTERVENTIONS, MAX_STRIPS, MAX_TRIALS, Cut, each_of
from tracer.report.text import p_value, percent, signed, visible_token

Arrays = Mapping[str, npt.NDArray[Any]]
"""The tensors beside `run.json`, by the names `tracer.record.parts.Trial` gives them."""


@dataclass(frozen=True)
class Measure:
    """A number read off an output."""

    kind: Literal["logit_diff", "probability"]
    tokens: tuple[str, ...]
    """As the file writes them: `{variables}` differ from prompt to prompt."""
    tail: Literal["above", "below"] | None
    """The side the file compares with controls; None where it asks for no comparison."""
    expectation: Expectation | None = field(default=None, compare=False)
    """What the file expects of it."""

    @property
    def title(self) -> str:
        """The measure in words."""
        names = [visible_token(token) for token in self.tokens]
        if self.kind == "probability":
            return f"p({names[0]})"
        return f"logit({names[0]}) − logit({names[1]})"

    def show(self, value: float) -> str:
        """A value in the measure's own unit."""
        return percent(value) if self.kind == "probability" else signed(value)


@dataclass(frozen=True)
class EffectComparison:
    """One measure on one prompt: unclamped, clamped, and under every matched control."""

    prompt: str
    held_out: bool
    before: float
    after: float
    controls: tuple[float, ...]
    p: float | None
    """The judge's; None where this prompt was not tested, or not compared with controls."""


def measures(spec: InterventionSpec) -> tuple[Measure, ...]:
    """The intervention's measures: compared with controls, then differences, then file order."""
    found = list(dict.fromkeys(m for e in spec.expect if (m := _measure(e)) is not None))
    compared = {(m.kind, m.tokens) for m in found if m.tail is not None}
    kept = [m for m in found if m.tail is not None or (m.kind, m.tokens) not in compared]
    return tuple(sorted(kept, key=lambda m: (m.tail is None, m.kind)))


def _measure(expectation: Expectation) -> Measure | None:
    tail = expectation.side if isinstance(expectation, Thresholds) else None
    match expectation:
        case LogitDiff():
            return Measure("logit_diff", expectation.logit_diff, tail, expectation)
        case Probability():
            return Measure("probability", (expectation.probability,), tail, expectation)
        case TopIs():
            return Measure("probability", (expectation.top,), None)
        case TopIsNot():
            return Measure("probability", (expectation.top_is_not,), None)
        case Rank():
            return Measure("probability", (expectation.rank,), None)
        case _:
            return None


def fill(record: Record, prompt: str, token: str) -> str:
    """A token as it is on one prompt, its `{variables}` filled in."""
    return render_token(token, record.hypothesis.prompts[prompt])


def find(reading: Reading, token: str) -> TokenReading | None:
    """A token's reading, asked for or among the top; None where it was not recorded."""
    return reading.tokens.get(token) or next((t for t in reading.top if t.token == token), None)


def compare(
    record: Record,
    intervention: str,
    measure: Measure,
    arrays: Arrays,
    judged: JudgedOutcomes,
) -> tuple[EffectComparison, ...]:
    """The measure on every prompt it was taken on, discovery prompts first."""
    outcomes = outcomes_of(measure, intervention, judged)
    ps = {each.prompt: each.p for outcome in outcomes for each in outcome.prompts}
    trials = record.interventions[intervention].trials.values()
    found = [_compare(record, intervention, trial, measure, arrays, ps) for trial in trials]
    return tuple(sorted((c for c in found if c is not None), key=lambda c: c.held_out))


def outcomes_of(measure: Measure, intervention: str, judged: JudgedOutcomes) -> tuple[Outcome, ...]:
    """How its comparison with controls was judged, a split each; none where none is asked for."""
    if measure.tail is None or measure.expectation is None:
        return ()
    return tuple(judged.of(intervention, measure.expectation))


def _compare(
    record: Record,
    intervention: str,
    trial: Trial,
    measure: Measure,
    arrays: Arrays,
    ps: Mapping[str, float | None],
) -> EffectComparison | None:
    prompt = record.prompts[trial.prompt]
    tokens = tuple(fill(record, trial.prompt, token) for token in measure.tokens)
    before = _value(measure, prompt.baseline, tokens)
    after = _value(measure, trial.reading, tokens)
    if trial.problem is not None or before is None or after is None:
        return None
    if not (isfinite(before) and isfinite(after)):
        return None
    controls = _controls(measure, tokens, trial, f"controls/{intervention}/{trial.prompt}", arrays)
    return EffectComparison(
        prompt=trial.prompt,
        held_out=prompt.held_out,
        before=before,
        after=after,
        controls=controls,
        p=ps.get(trial.prompt),
    )


def _value(measure: Measure, reading: Reading, tokens: tuple[str, ...]) -> float | None:
    found = [find(reading, token) for token in tokens]
    if any(token is None for token in found):
        return None
    known = [token for token in found if token is not None]
    if measure.kind == "probability":
        return known[0].probability
    return known[0].logit - known[1].logit


def _controls(
    measure: Measure, tokens: tuple[str, ...], trial: Trial, stem: str, arrays: Arrays
) -> tuple[float, ...]:
    if f"{stem}/logits" not in arrays or not set(tokens) <= set(trial.control_tokens):
        return ()
    logits = np.asarray(arrays[f"{stem}/logits"], dtype=np.float64)
    columns = [logits[:, trial.control_tokens.index(token)] for token in tokens]
    if measure.kind == "logit_diff":
        values = columns[0] - columns[1]
    else:
        values = np.exp(columns[0] - np.asarray(arrays[f"{stem}/logsumexp"], dtype=np.float64))
    return tuple(float(value) for value in values if np.isfinite(value))


_FEWEST_TRIALS = 4
_MOST_MEASURES = 12


@dataclass(frozen=True)
class Room:
    """What one intervention may take of a page."""

    n_trials: int = MAX_TRIALS
    n_strips: int = MAX_STRIPS
    """Rows of control strips."""


Plotted = tuple[Measure, tuple[EffectComparison, ...]]


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


class Lead(NamedTuple):
    """The measure an intervention is about, on every prompt."""

    measure: Measure
    compared: tuple[EffectComparison, ...]
    outcomes: tuple[Outcome, ...]
    """How its comparison with controls was judged, a split each."""


@dataclass(frozen=True)
class SplitSummary:
    """One intervention on one split, for the first screen."""

    outputs: str
    effect: str
    controls: str


@dataclass(frozen=True)
class InterventionSummary:
    """One intervention in a line."""

    name: str
    clamps: tuple[tuple[str, str], ...]
    """Supernode and pill."""
    measure: str | None
    discovery: SplitSummary | None
    held_out: SplitSummary | None


def usable_trials(record: Record, name: str) -> list[Trial]:
    """The trials that could be measured, discovery prompts first."""
    measured = [t for t in record.interventions[name].trials.values() if t.problem is None]
    return sorted(measured, key=lambda t: record.prompts[t.prompt].held_out)


def lead_of(record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes) -> Lead | None:
    """The first measure that the file asks about; None where it asks about none."""
    asked = measures(record.hypothesis.interventions[name])
    if not asked:
        return None
    compared = compare(record, name, asked[0], arrays, judged)
    return Lead(asked[0], compared, outcomes_of(asked[0], name, judged))


def intervention_summary(
    record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes
) -> InterventionSummary:
    """The line of one intervention; without arrays, nothing is said of its controls."""
    lead = lead_of(record, name, arrays, judged)
    trials = usable_trials(record, name)
    return InterventionSummary(
        name=name,
        clamps=tuple(
            (record.supernodes[clamp.supernode].label, clamp.amount.words())
            for clamp in (trials[0].clamps if trials else ())
        ),
        measure=lead.measure.title if lead else None,
        discovery=split_summary(record, trials, lead, held_out=False),
        held_out=split_summary(record, trials, lead, held_out=True),
    )


def split_summary(
    record: Record, trials: Sequence[Trial], lead: Lead | None, *, held_out: bool
) -> SplitSummary | None:
    """What these trials did on one split; None where none of them is of it."""
    members = [t for t in trials if record.prompts[t.prompt].held_out == held_out]
    if not members:
        return None
    found = [c for c in lead.compared if c.held_out == held_out] if lead else []
    return SplitSummary(
        outputs=_top_change([record.prompts[t.prompt] for t in members], members),
        effect=_median_effect(lead.measure, found) if lead and found else "",
        controls=_against_controls(lead, found, held_out=held_out) if lead and found else "",
    )


def _top_change(prompts: Sequence[PromptRecord], trials: Sequence[Trial]) -> str:
    before = Counter(visible_token(p.baseline.top[0].token) for p in prompts)
    after = Counter(visible_token(t.reading.top[0].token) for t in trials)
    return f"{_counted(before)} → {_counted(after)}"


def _counted(tokens: Counter[str]) -> str:
    total = tokens.total()
    ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        return ranked[0][0]
    shown = ", ".join(f"{token} {n}/{total}" for token, n in ranked[:3])
    return shown + (", …" if len(ranked) > 3 else "")


def _median_effect(measure: Measure, found: Sequence[EffectComparison]) -> str:
    before, after = median(c.before for c in found), median(c.after for c in found)
    return f"{measure.show(before)} → {measure.show(after)}"


def _against_controls(lead: Lead, found: Sequence[EffectComparison], *, held_out: bool) -> str:
    measure = lead.measure
    drawn = [value for c in found for value in c.controls]
    if not drawn:
        return "no controls"
    low, high = measure.show(min(drawn)), measure.show(max(drawn))
    tested = [c.p for c in found if c.p is not None]
    if not tested:
        return f"controls {low} to {high}{_across(lead, held_out=held_out)}"
    largest = "largest p" if len(tested) > 1 else "p"
    return f"controls {low} to {high}; {largest} {p_value(max(tested))}"


def _across(lead: Lead, *, held_out: bool) -> str:
    """The p of a test that was made of all prompts of a split."""
    split = "held out" if held_out else "discovery"
    ps = [o.p for o in lead.outcomes if o.split == split and o.p is not None and not o.needed]
    return f"; p {p_value(ps[0])} over all prompts" if ps else ""
