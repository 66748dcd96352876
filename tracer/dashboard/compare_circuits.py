"""The claimed circuits of two runs side by side: one intervention on one prompt.

The pictures are the report's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.markdown import plain
from tracer.dashboard.run_rows import CELL, shown
from tracer.record import Record, Trial
from tracer.report.circuit import circuit
from tracer.report.outputs import asked_tokens, bar_limit, output_bars
from tracer.report.picture import bars_picture, circuit_picture

INTERVENTION, PROMPT = "intervention", "on"
"""In the address."""
_WIDTH = 500.0
"""Pixels of a picture that shares the page with another."""


@dataclass(frozen=True)
class Chosen:
    """What is looked at in both runs."""

    intervention: str
    prompt: str


def draw_circuits(a: Record, b: Record) -> Chosen | None:
    """Choose an intervention and a prompt, and draw both; None where there is none to choose."""
    drawable = (_drawable(a), _drawable(b))
    names = _together(*drawable)
    if not names:
        return None
    left, right = st.columns(2)
    name = left.selectbox("Intervention", names, key=INTERVENTION, bind="query-params")
    of_name = [each.get(name, {}) for each in drawable]
    prompt = right.selectbox("On prompt", _together(*of_name), key=PROMPT, bind="query-params")
    trials = [each.get(prompt) for each in of_name]
    limit = _limit(a, b, trials)
    for side, column, record, trial in zip("AB", st.columns(2), (a, b), trials, strict=True):
        column.markdown(f"**{side}** {plain(shown(record.model.name, CELL))}")
        if trial is None:
            column.markdown(f"{plain(name)} was not measured on {plain(prompt)} here.")
        else:
            _draw(column, record, name, trial, limit)
    st.markdown(
        "Up is a deeper layer, right a later token. Percentages: activation after the clamp; "
        "orange: the clamp; outputs hatched unclamped, solid clamped, on one scale in A and B."
    )
    return Chosen(name, prompt)


def _drawable(record: Record) -> dict[str, Mapping[str, Trial]]:
    """The file's own interventions with their trials, by prompt."""
    return {
        name: found.trials
        for name, found in record.interventions.items()
        if name in record.hypothesis.interventions and found.trials
    }


def _together(a: Mapping[str, object], b: Mapping[str, object]) -> list[str]:
    """Names of either, those of both first."""
    return sorted(dict.fromkeys([*a, *b]), key=lambda name: not (name in a and name in b))


def _limit(a: Record, b: Record, trials: Sequence[Trial | None]) -> float:
    """What the longest bar of both stands for."""
    there = zip((a, b), trials, strict=True)
    found = [bar_limit(each, [t]) for each, t in there if t is not None and t.problem is None]
    return max(found, default=1.0)


def _draw(place: DeltaGenerator, record: Record, name: str, trial: Trial, limit: float) -> None:
    if trial.problem is not None:
        place.warning(plain(trial.problem))
        return
    drawn = circuit(record, name, trial.prompt, width=_WIDTH)
    place.image(circuit_picture(drawn), width="stretch", alt=shown(drawn.description))
    bars = output_bars(record, trial, limit, asked_tokens(record, name))
    place.image(bars_picture(bars), alt=f"Outputs of {trial.prompt}, unclamped and clamped")
