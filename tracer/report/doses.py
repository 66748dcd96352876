"""The dose series of one intervention: a small panel per prompt, all on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from tracer.hypothesis.expectations import Rises
from tracer.record import Record, Trial
from tracer.report.effects import fill, measures
from tracer.report.outputs import probability
from tracer.report.plots import DosePanel, dose_panel, nice_ticks
from tracer.report.text import show_token

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
        tokens=tuple(show_token(token) for token in tokens),
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
