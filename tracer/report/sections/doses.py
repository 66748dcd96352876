"""The dose series of one intervention: a small panel per prompt, all on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from tracer.record.record import Record
from tracer.record.trials import Trial
from tracer.report.axes import nice_ticks
from tracer.report.effects import fill, measures
from tracer.report.outputs import probability
from tracer.report.plots import DosePanel, dose_panel
from tracer.report.text import visible_token

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
