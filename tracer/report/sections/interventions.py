"""What one intervention did, as the report shows it: picture, outputs, controls, doses, table.

A dose series is a small panel for each prompt, all on one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from math import isfinite
from statistics import median

from tracer.evidence.context import JudgedOutcomes
from tracer.evidence.rivals import measured_as, rival_rows
from tracer.hypothesis.heads import parse_head
from tracer.record.arrays import Arrays
from tracer.record.record import Record
from tracer.record.testable import gives_answer
from tracer.record.trials import ClampRecord, Trial
from tracer.report.circuit_diagram import CircuitDrawing, circuit
from tracer.report.effects import EffectComparison, Measure, fill, measures
from tracer.report.head_reason import AttentionRow, recorded_row
from tracer.report.limits import (
    MAX_CAPTION,
    MAX_NOTES,
    Quota,
    cut,
    middle_out,
    select_measures,
    select_trials,
)
from tracer.report.outputs import asked_tokens, bar_limit, output_bars, probability
from tracer.report.plots import Bars, DosePanel, Strip, dose_panel, nice_ticks, strip
from tracer.report.summaries import (
    LeadingMeasure,
    SplitSummary,
    leading_measure,
    split_summary,
    usable_trials,
)
from tracer.report.text import (
    NONE,
    head_name,
    number,
    p_value,
    percent,
    plural,
    signed,
    visible_token,
)

FREEZE = {
    "none": "Nothing frozen: everything after the clamp reacts.",
    "attention": "Attention patterns frozen as in the unclamped run.",
    "all": "Everything else frozen: direct effects only.",
}
N_DOSE_TOKENS = 4
_UNITS = {"times": "factor", "to": "value", "add": "multiple of the maximum"}
_QUOTA = Quota()


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
    text: str
    circuit: CircuitDrawing
    bars: Bars
    looks: tuple[AttentionRow, ...]
    """What the heads that are asked about look at, unclamped."""


@dataclass(frozen=True)
class PromptBars:
    """The outputs of a prompt whose circuit is not drawn."""

    prompt: str
    held_out: bool
    bars: Bars


@dataclass(frozen=True)
class RivalLine:
    """One intervention at the same place."""

    what: str
    effect: str
    wrong: str
    says: str
    size: str


@dataclass(frozen=True)
class RivalsView:
    """The claim's clamps beside crude interventions."""

    number: str
    rows: tuple[RivalLine, ...]


_RIVALS = {
    None: "the clamps",
    "mlp": "whole MLP outputs of the donors",
    "residual": "whole residual stream of the donors",
    "difference": "difference of means added",
}


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
    rivals: RivalsView | None


def _rivals(record: Record, name: str) -> RivalsView | None:
    rows = rival_rows(record, name)
    if not rows:
        return None
    return RivalsView(
        number=measured_as(record, name),
        rows=tuple(
            RivalLine(
                what=_RIVALS[row.kind],
                effect=signed(row.effect),
                wrong=NONE if row.wrong is None else signed(row.wrong),
                says=row.says,
                size=number(row.write_norm),
            )
            for row in rows
        ),
    )


def intervention_view(
    record: Record, name: str, arrays: Arrays, judged: JudgedOutcomes, quota: Quota = _QUOTA
) -> InterventionView:
    """Everything the report shows of one intervention."""
    spec = record.hypothesis.interventions[name]
    trials = usable_trials(record, name)
    selected = select_trials(record, trials, quota)
    shown = selected.kept
    tokens = asked_tokens(record, name)
    leading = leading_measure(record, name, arrays, judged)
    plots = select_measures(record, name, measures(spec), arrays, judged, quota)
    limit = bar_limit(record, trials)
    unmeasured = [t for t in record.interventions[name].trials.values() if t.problem is not None]
    problems = [f"{trial.prompt}: {trial.problem}" for trial in unmeasured]
    listed = cut(problems, MAX_NOTES, "problems", "run.json")
    return InterventionView(
        name=name,
        freeze=FREEZE[spec.freeze],
        clamps=tuple(_lines(record, trials[0])) if trials else (),
        measure=leading.measure.title if leading else None,
        figure=_figure(record, name, shown[0], limit, tokens) if shown else None,
        others=tuple(_prompt_bars(record, t, limit, tokens) for t in shown[1:]),
        strips=tuple(strip(m, _of_shown(found, shown)) for m, found in plots.kept),
        n_controls=max((t.n_controls for t in trials), default=0),
        doses=dose_view(record, name, shown),
        rows=tuple(_row(record, trial, leading) for trial in shown),
        problems=listed.kept,
        discovery=split_summary(record, trials, leading, held_out=False),
        held_out=split_summary(record, trials, leading, held_out=True),
        left_out=tuple(each.note for each in (selected, plots, listed) if each.note),
        rivals=_rivals(record, name),
    )


def _of_shown(
    found: Sequence[EffectComparison], shown: Sequence[Trial]
) -> Sequence[EffectComparison]:
    """Those of prompts that are drawn; of all that can be compared, where none of them can."""
    prompts = {trial.prompt for trial in shown}
    return [each for each in found if each.prompt in prompts] or found[: len(shown)]


def _lines(record: Record, trial: Trial) -> Iterator[ClampLine]:
    """What was clamped, then the patterns that were set."""
    yield from (_clamp_line(record, clamp) for clamp in trial.clamps)
    for each in trial.patterns:
        heads = ", ".join(head_name(*parse_head(head)) for head in each.heads)
        detail = f"{heads}; weight that moved {number(each.moved)}"
        yield ClampLine(label="attention", pill=each.words, detail=detail)


def _clamp_line(record: Record, clamp: ClampRecord) -> ClampLine:
    taken = f", {clamp.n_overridden} of them taken over by a later clamp"
    supernode = record.supernodes[clamp.supernode]
    return ClampLine(
        label=supernode.label,
        pill=clamp.amount.words(),
        detail=f"{plural(clamp.n_features, supernode.unit)} of {clamp.supernode}"
        + (f", activations from {', '.join(clamp.source)}" if clamp.source else "")
        + (taken if clamp.n_overridden else "")
        + f"; size of the write {number(clamp.write_norm, 1)}",
    )


def _figure(record: Record, name: str, trial: Trial, limit: float, asked: Set[str]) -> PromptFigure:
    return PromptFigure(
        prompt=trial.prompt,
        text=middle_out(record.prompts[trial.prompt].text, MAX_CAPTION),
        circuit=circuit(record, name, trial.prompt),
        bars=output_bars(record, trial, limit, asked),
        looks=tuple(filter(None, (_looked(record, trial, key) for key in trial.attends))),
    )


def _looked(record: Record, trial: Trial, key: str) -> AttentionRow | None:
    found = trial.attends[key]
    moved = f"{key}, {percent(found.unclamped)} unclamped, {percent(found.clamped)} clamped"
    return recorded_row(record.prompts[trial.prompt], moved, found.attention)


def _prompt_bars(record: Record, trial: Trial, limit: float, asked: Set[str]) -> PromptBars:
    held_out = record.prompts[trial.prompt].held_out
    return PromptBars(trial.prompt, held_out, output_bars(record, trial, limit, asked))


def _row(record: Record, trial: Trial, leading: LeadingMeasure | None) -> PromptRow:
    prompt = record.prompts[trial.prompt]
    before, after = prompt.baseline.top[0], trial.reading.top[0]
    compared = leading.compared if leading else ()
    found = next((c for c in compared if c.prompt == trial.prompt), None)
    return PromptRow(
        prompt=trial.prompt,
        held_out=prompt.held_out,
        before_token=visible_token(before.token),
        before_p=percent(before.probability),
        after_token=visible_token(after.token),
        after_p=percent(after.probability),
        changed=before.id != after.id,
        baseline_holds=gives_answer(prompt),
        effects=_effects(leading.measure, found) if leading and found else (),
    )


def _effects(measure: Measure, c: EffectComparison) -> tuple[str, ...]:
    spread = NONE
    if c.controls:
        ends = f"{measure.show(min(c.controls))}, {measure.show(max(c.controls))}"
        spread = f"{measure.show(median(c.controls))} [{ends}]"
    return measure.show(c.before), measure.show(c.after), spread, p_value(c.p)


@dataclass(frozen=True)
class DoseView:
    """The dose series of one intervention."""

    supernode: str
    unit: str
    """What the doses are: 'factor', 'value' or 'multiple of the maximum'."""
    tokens: tuple[str, ...]
    panels: tuple[DosePanel, ...]


def dose_view(record: Record, name: str, trials: Sequence[Trial]) -> DoseView | None:
    """The panels of an intervention; None where it has no dose series or none was run."""
    declared = record.hypothesis.interventions[name]
    spec, dosed = declared.doses, [trial for trial in trials if trial.doses]
    if spec is None or not dosed:
        return None
    used = next((c.amount for c in dosed[0].clamps if c.supernode == spec.of), None)
    if used is None:
        return None
    wanted = [e.token for e in spec.expect]
    wanted += [token for measure in measures(declared) for token in measure.tokens]
    tokens = list(dict.fromkeys(wanted))[:N_DOSE_TOKENS]
    series = {t.prompt: [_points(record, t, token) for token in tokens] for t in dosed}
    highest = max((p for s in series.values() for _, pts in s for _, p in pts), default=0.0)
    limit = min(nice_ticks(0.0, max(highest, 0.01), 3)[-1], 1.0)
    return DoseView(
        supernode=record.supernodes[spec.of].label,
        unit=_UNITS[used.unit],
        tokens=tuple(visible_token(token) for token in tokens),
        panels=tuple(
            dose_panel(prompt, s, limit, used, held_out=record.prompts[prompt].held_out)
            for prompt, s in series.items()
        ),
    )


def _points(record: Record, trial: Trial, written: str) -> tuple[str, list[tuple[float, float]]]:
    """A token and its (dose, probability); none at a dose where it is below the recorded ones."""
    token = fill(record, trial.prompt, written)
    return token, [
        (dose.factor, p)
        for dose in trial.doses
        if (p := probability(dose.reading, token)) is not None and isfinite(p)
    ]
