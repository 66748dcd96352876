"""What one intervention did, as the report shows it: picture, outputs, controls, doses, table.

The dose series of one intervention: a small panel per prompt, all on one axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from tracer.evidence.case import gives_answer
from tracer.evidence.context import JudgedOutcomes
from tracer.hypothesis.expectations.dose import Rises
from tracer.record.record import Record
from tracer.record.trials import ClampRecord, Trial
from tracer.report.circuit_diagram import CircuitDrawing, circuit
from tracer.report.effects import (
    Arrays,
    EffectComparison,
    Lead,
    Measure,
    Room,
    SplitSummary,
    drawn_trials,
    fill,
    lead_of,
    measures,
    plotted,
    split_summary,
    usable_trials,
)
from tracer.report.limits import MAX_CAPTION, MAX_NOTES, Cut, cut, middle_out
from tracer.report.outputs import asked_tokens, bar_limit, output_bars, probability
from tracer.report.plots import Bars, DosePanel, Strip, dose_panel, nice_ticks, strip
from tracer.report.text import number, p_value, percent, plural, visible_token

N_DOSE_TOKENS = 4
_UNITS = {"times": "factor", "to": "value", "add": "multiple of the maximum"}


@dataclass(frozen=True)
class DoseView:
    """The dose series of one intervention."""

    supernode: str
    unit: str
    """What the doses are: 'factor', 'value' or 'multiple of the maximum'."""
    tokens: tuple[str, ...]
    panels: tuple[DosePanel, ...]


def doses(record: Record, name: str, trials: Sequence[Trial]) -> DoseView | None:
    """The panels of an intervention; None where it has no dose series or none was run."""
    spec = record.hypothesis.interventions[name].doses
    dosed = [trial for trial in trials if trial.doses]
    if spec is None or not dosed:
        return None
    wanted = [e.rises if isinstance(e, Rises) else e.falls for e in spec.expect]
    wanted += [t for m in measures(record.hypothesis.interventions[name]) for t in m.tokens]
    tokens = list(dict.fromkeys(wanted))[:N_DOSE_TOKENS]
    series = {t.prompt: _series(record, t, tokens) for t in dosed}
    highest = max((p for s in series.values() for _, pts in s for _, p in pts), default=0.0)
    limit = nice_ticks(0.0, max(highest, 0.01), 3)[-1]
    used = next((c.amount for c in dosed[0].clamps if c.supernode == spec.of), None)
    if used is None:
        return None
    return DoseView(
        supernode=record.supernodes[spec.of].label,
        unit=_UNITS[used.unit],
        tokens=tuple(visible_token(token) for token in tokens),
        panels=tuple(
            dose_panel(prompt, s, min(limit, 1.0), used, held_out=record.prompts[prompt].held_out)
            for prompt, s in series.items()
        ),
    )


def _series(
    record: Record, trial: Trial, tokens: Sequence[str]
) -> list[tuple[str, list[tuple[float, float]]]]:
    """Points of each token; a token below the recorded ones at a dose has no point there."""
    lines: list[tuple[str, list[tuple[float, float]]]] = []
    for written in tokens:
        token = fill(record, trial.prompt, written)
        points = [
            (dose.factor, p)
            for dose in trial.doses
            if (p := probability(dose.reading, token)) is not None and isfinite(p)
        ]
        lines.append((token, points))
    return lines


FREEZE = {
    "none": "Nothing frozen: everything after the clamp reacts.",
    "attention": "Attention patterns frozen as in the unclamped run.",
    "all": "Everything else frozen: direct effects only.",
}


@dataclass(frozen=True)
class ClampLine:
    """A clamp in words."""

    label: str
    pill: str
    detail: str


@dataclass(frozen=True)
class PromptRow:
    """One prompt in the discovery against held-out table."""

    prompt: str
    held_out: bool
    before_token: str
    before_p: str
    after_token: str
    after_p: str
    changed: bool
    baseline_holds: bool
    effects: tuple[str, ...]
    """Before, after, controls and p of the leading measure; empty where there is none."""


@dataclass(frozen=True)
class PromptFigure:
    """The picture of one prompt: its circuit and its outputs."""

    prompt: str
    held_out: bool
    text: str
    circuit: CircuitDrawing
    bars: Bars


@dataclass(frozen=True)
class PromptBars:
    """The outputs of a prompt whose circuit is not drawn."""

    prompt: str
    held_out: bool
    bars: Bars


@dataclass(frozen=True)
class InterventionView:
    """One intervention."""

    name: str
    freeze: str
    clamps: tuple[ClampLine, ...]
    measure: str | None
    figure: PromptFigure | None
    others: tuple[PromptBars, ...]
    strips: tuple[Strip, ...]
    n_controls: int
    doses: DoseView | None
    rows: tuple[PromptRow, ...]
    problems: tuple[str, ...]
    discovery: SplitSummary | None
    held_out: SplitSummary | None
    left_out: tuple[str, ...]
    """What of it is not drawn, in sentences."""


_ROOM = Room()


def intervention_view(
    record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes, room: Room = _ROOM
) -> InterventionView:
    """Everything the report shows of one intervention."""
    spec = record.hypothesis.interventions[name]
    trials = usable_trials(record, name)
    chosen = drawn_trials(record, trials, room)
    drawn = chosen.kept
    asked = measures(spec)
    tokens = asked_tokens(record, name)
    lead = lead_of(record, name, arrays, judged)
    plots = plotted(record, name, asked, arrays, judged, room)
    limit = bar_limit(record, trials)
    problems = _problems(record, name)
    return InterventionView(
        name=name,
        freeze=FREEZE[spec.freeze],
        clamps=_clamp_lines(record, trials),
        measure=lead.measure.title if lead else None,
        figure=_figure(record, name, drawn[0], limit, tokens) if drawn else None,
        others=tuple(_prompt_bars(record, t, limit, tokens) for t in drawn[1:]),
        strips=tuple(strip(m, _of_drawn(found, drawn)) for m, found in plots.kept),
        n_controls=max((t.n_controls for t in trials), default=0),
        doses=doses(record, name, drawn),
        rows=tuple(_row(record, trial, lead) for trial in drawn),
        problems=problems.kept,
        discovery=split_summary(record, trials, lead, held_out=False),
        held_out=split_summary(record, trials, lead, held_out=True),
        left_out=tuple(told for told in (chosen.told, plots.told, problems.told) if told),
    )


def _problems(record: Record, name: str) -> Cut[str]:
    """Why prompts could not be measured."""
    found = [
        f"{trial.prompt}: {trial.problem}"
        for trial in record.interventions[name].trials.values()
        if trial.problem is not None
    ]
    return cut(found, MAX_NOTES, "problems", "run.json")


def _of_drawn(
    found: Sequence[EffectComparison], drawn: Sequence[Trial]
) -> Sequence[EffectComparison]:
    """Those of prompts that are drawn; of all that can be compared, where none of them can."""
    prompts = {trial.prompt for trial in drawn}
    return [each for each in found if each.prompt in prompts] or found[: len(drawn)]


def _clamp_lines(record: Record, trials: Sequence[Trial]) -> tuple[ClampLine, ...]:
    return tuple(_clamp_line(record, clamp) for clamp in (trials[0].clamps if trials else ()))


def _clamp_line(record: Record, clamp: ClampRecord) -> ClampLine:
    supernode = record.supernodes[clamp.supernode]
    taken = f", {clamp.n_overridden} of them taken over by a later clamp"
    return ClampLine(
        label=supernode.label,
        pill=clamp.amount.words(),
        detail=f"{plural(clamp.n_features, 'feature')} of {clamp.supernode}"
        + (f", activations from {', '.join(clamp.source)}" if clamp.source else "")
        + (taken if clamp.n_overridden else "")
        + f"; size of the write {number(clamp.write_norm, 1)}",
    )


def _figure(
    record: Record, name: str, trial: Trial, limit: float, asked: frozenset[str]
) -> PromptFigure:
    prompt = record.prompts[trial.prompt]
    return PromptFigure(
        prompt=trial.prompt,
        held_out=prompt.held_out,
        text=middle_out(prompt.text, MAX_CAPTION),
        circuit=circuit(record, name, trial.prompt),
        bars=output_bars(record, trial, limit, asked),
    )


def _prompt_bars(record: Record, trial: Trial, limit: float, asked: frozenset[str]) -> PromptBars:
    held_out = record.prompts[trial.prompt].held_out
    return PromptBars(trial.prompt, held_out, output_bars(record, trial, limit, asked))


def _row(record: Record, trial: Trial, lead: Lead | None) -> PromptRow:
    prompt = record.prompts[trial.prompt]
    before, after = prompt.baseline.top[0], trial.reading.top[0]
    found = next((c for c in lead.compared if c.prompt == trial.prompt), None) if lead else None
    return PromptRow(
        prompt=trial.prompt,
        held_out=prompt.held_out,
        before_token=visible_token(before.token),
        before_p=percent(before.probability),
        after_token=visible_token(after.token),
        after_p=percent(after.probability),
        changed=before.id != after.id,
        baseline_holds=gives_answer(prompt),
        effects=_effects(lead.measure, found) if lead and found else (),
    )


def _effects(measure: Measure, c: EffectComparison) -> tuple[str, ...]:
    spread = (
        f"{measure.show(median(c.controls))} "
        f"[{measure.show(min(c.controls))}, {measure.show(max(c.controls))}]"
        if c.controls
        else "–"
    )
    p = p_value(c.p) if c.p is not None else "–"
    return measure.show(c.before), measure.show(c.after), spread, p
