"""What one intervention did, as the report shows it: picture, outputs, controls, doses, table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tracer.evidence.baseline import gives_answer
from tracer.evidence.bench import JudgedOutcomes
from tracer.record import ClampRecord, Record, Trial
from tracer.report.circuit import circuit
from tracer.report.circuit_shapes import Circuit
from tracer.report.doses import DoseView, doses
from tracer.report.drawn import Room, drawn_trials, plotted
from tracer.report.effects import Arrays, Comparison, Measure, measures
from tracer.report.limits import MAX_CAPTION, MAX_NOTES, Cut, cut, middle_out
from tracer.report.outputs import asked_tokens, bar_limit, output_bars
from tracer.report.plots import Bars, Strip, strip
from tracer.report.summaries import Lead, SplitSummary, lead_of, split_summary, usable_trials
from tracer.report.text import number, p_value, percent, plural, show_token

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
    circuit: Circuit
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


def _of_drawn(found: Sequence[Comparison], drawn: Sequence[Trial]) -> Sequence[Comparison]:
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
        before_token=show_token(before.token),
        before_p=percent(before.probability),
        after_token=show_token(after.token),
        after_p=percent(after.probability),
        changed=before.id != after.id,
        baseline_holds=gives_answer(prompt),
        effects=_effects(lead.measure, found) if lead and found else (),
    )


def _effects(measure: Measure, c: Comparison) -> tuple[str, ...]:
    spread = (
        f"{measure.show(median(c.controls))} "
        f"[{measure.show(min(c.controls))}, {measure.show(max(c.controls))}]"
        if c.controls
        else "–"
    )
    p = p_value(c.p) if c.p is not None else "–"
    return measure.show(c.before), measure.show(c.after), spread, p
