"""What one intervention did, as the report shows it: picture, outputs, controls, doses, table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tracer.record import ClampRecord, PromptRecord, Record, Trial
from tracer.report.circuit import Circuit, circuit
from tracer.report.doses import DoseView, doses
from tracer.report.effects import Arrays, Comparison, Measure, answer_holds, compare, measures
from tracer.report.outputs import bar_limit, output_bars
from tracer.report.plots import Bars, Strip, strip
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
class SplitSummary:
    """One intervention on one split, for the first screen."""

    outputs: str
    effect: str
    controls: str


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


def intervention_view(record: Record, name: str, arrays: Arrays) -> InterventionView:
    """Everything the report shows of one intervention."""
    spec = record.hypothesis.interventions[name]
    trials = _ordered(record, name)
    asked = measures(spec)
    compared = [(m, compare(record, name, m, arrays)) for m in asked]
    lead = compared[0] if compared else None
    limit = bar_limit(record, trials)
    return InterventionView(
        name=name,
        freeze=FREEZE[spec.freeze],
        clamps=_clamp_lines(record, trials),
        measure=lead[0].title if lead else None,
        figure=_figure(record, name, trials[0], limit) if trials else None,
        others=tuple(_prompt_bars(record, name, t, limit) for t in trials[1:]),
        strips=tuple(strip(m, found) for m, found in _plotted(compared)),
        n_controls=max((t.n_controls for t in trials), default=0),
        doses=doses(record, name, trials),
        rows=tuple(_row(record, trial, lead) for trial in trials),
        problems=tuple(
            f"{t.prompt}: {t.problem}"
            for t in record.interventions[name].trials.values()
            if t.problem is not None
        ),
        discovery=_summary(record, trials, lead, held_out=False),
        held_out=_summary(record, trials, lead, held_out=True),
    )


def _ordered(record: Record, name: str) -> list[Trial]:
    """The trials that could be measured, discovery prompts first."""
    measured = [t for t in record.interventions[name].trials.values() if t.problem is None]
    return sorted(measured, key=lambda t: record.prompts[t.prompt].held_out)


def _plotted(
    compared: Sequence[tuple[Measure, tuple[Comparison, ...]]],
) -> list[tuple[Measure, tuple[Comparison, ...]]]:
    """The measures the file compares with controls, or else the leading one."""
    usable = [(m, found) for m, found in compared if any(c.controls for c in found)]
    return [(m, found) for m, found in usable if m.tail is not None] or usable[:1]


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


def _figure(record: Record, name: str, trial: Trial, limit: float) -> PromptFigure:
    prompt = record.prompts[trial.prompt]
    return PromptFigure(
        prompt=trial.prompt,
        held_out=prompt.held_out,
        text=prompt.text,
        circuit=circuit(record, name, trial.prompt),
        bars=output_bars(record, name, trial, limit),
    )


def _prompt_bars(record: Record, name: str, trial: Trial, limit: float) -> PromptBars:
    held_out = record.prompts[trial.prompt].held_out
    return PromptBars(trial.prompt, held_out, output_bars(record, name, trial, limit))


def _row(
    record: Record, trial: Trial, lead: tuple[Measure, tuple[Comparison, ...]] | None
) -> PromptRow:
    prompt = record.prompts[trial.prompt]
    before, after = prompt.baseline.top[0], trial.reading.top[0]
    found = next((c for c in lead[1] if c.prompt == trial.prompt), None) if lead else None
    return PromptRow(
        prompt=trial.prompt,
        held_out=prompt.held_out,
        before_token=show_token(before.token),
        before_p=percent(before.probability),
        after_token=show_token(after.token),
        after_p=percent(after.probability),
        changed=before.token != after.token,
        baseline_holds=answer_holds(prompt),
        effects=_effects(lead[0], found) if lead and found else (),
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


def _summary(
    record: Record,
    trials: Sequence[Trial],
    lead: tuple[Measure, tuple[Comparison, ...]] | None,
    *,
    held_out: bool,
) -> SplitSummary | None:
    members = [t for t in trials if record.prompts[t.prompt].held_out == held_out]
    if not members:
        return None
    found = [c for c in lead[1] if c.held_out == held_out] if lead else []
    return SplitSummary(
        outputs=_top_change([record.prompts[t.prompt] for t in members], members),
        effect=_median_effect(lead[0], found) if lead and found else "",
        controls=_against_controls(lead[0], found) if lead and found else "",
    )


def _top_change(prompts: Sequence[PromptRecord], trials: Sequence[Trial]) -> str:
    before = Counter(show_token(p.baseline.top[0].token) for p in prompts)
    after = Counter(show_token(t.reading.top[0].token) for t in trials)
    return f"{_counted(before)} → {_counted(after)}"


def _counted(tokens: Counter[str]) -> str:
    total = tokens.total()
    ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) == 1:
        return ranked[0][0]
    shown = ", ".join(f"{token} {n}/{total}" for token, n in ranked[:3])
    return shown + (", …" if len(ranked) > 3 else "")


def _median_effect(measure: Measure, found: Sequence[Comparison]) -> str:
    before, after = median(c.before for c in found), median(c.after for c in found)
    return f"{measure.show(before)} → {measure.show(after)}"


def _against_controls(measure: Measure, found: Sequence[Comparison]) -> str:
    drawn = [value for c in found for value in c.controls]
    if not drawn:
        return "no controls"
    low, high = measure.show(min(drawn)), measure.show(max(drawn))
    tested = [c.p for c in found if c.p is not None]
    if not tested:
        return f"controls {low} to {high}"
    largest = "largest p" if len(tested) > 1 else "p"
    return f"controls {low} to {high}; {largest} {p_value(max(tested))}"
