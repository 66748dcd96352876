"""The most probable outputs of a prompt, unclamped and clamped, as bars."""

from __future__ import annotations

from collections.abc import Sequence, Set
from math import isfinite

from tracer.record.record import Record
from tracer.record.trials import Reading, Trial
from tracer.report.effects import fill, find, measures
from tracer.report.plots import Bars, Output, bars

N_OUTPUTS = 5


def asked_tokens(record: Record, name: str) -> frozenset[str]:
    """The tokens that the file asks about in what it expects of an intervention, as it writes them.

    Worked out once for all prompts, since there may be thousands of expectations.
    """
    asked = measures(record.hypothesis.interventions[name])
    return frozenset(token for measure in asked for token in measure.tokens)


def output_bars(record: Record, trial: Trial, limit: float, asked: Set[str]) -> Bars:
    """The bars of one trial.

    Args:
        record: what was observed.
        trial: one intervention on one prompt.
        limit: what the longest bar stands for.
        asked: `asked_tokens` of the intervention; they are chosen before others.
    """
    return bars(_chosen(record, trial, asked), limit)


def _chosen(record: Record, trial: Trial, written: Set[str]) -> list[Output]:
    """The most probable tokens of both outputs, clamped order first."""
    prompt = record.prompts[trial.prompt]
    asked = {fill(record, trial.prompt, token) for token in written}
    top = {t.token: t.probability for t in trial.reading.top[:N_OUTPUTS]}
    for reading in prompt.baseline.top[:N_OUTPUTS]:
        top[reading.token] = max(top.get(reading.token, 0.0), reading.probability)
    chosen = sorted(top, key=lambda token: (token not in asked, -top[token], token))[:N_OUTPUTS]
    ranked = sorted(chosen, key=lambda token: (-(probability(trial.reading, token) or 0.0), token))
    return [
        Output(
            token=token,
            asked=token in asked,
            before=probability(prompt.baseline, token),
            after=probability(trial.reading, token),
            bound_before=prompt.baseline.top[-1].probability,
            bound_after=trial.reading.top[-1].probability,
        )
        for token in ranked
    ]


def probability(reading: Reading, token: str) -> float | None:
    """A token's probability; None where it was neither asked for nor among the top."""
    found = find(reading, token)
    return found.probability if found is not None else None


def bar_limit(record: Record, trials: Sequence[Trial]) -> float:
    """One bar scale for all prompts of an intervention, so that they can be compared."""
    highest = [
        reading.top[0].probability
        for trial in trials
        for reading in (trial.reading, record.prompts[trial.prompt].baseline)
    ]
    return max([0.05, *(p for p in highest if isfinite(p))])
