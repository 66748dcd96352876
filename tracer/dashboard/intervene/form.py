"""The form of Intervene: one row of widgets for each supernode, and what is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.dashboard import plain
from tracer.dashboard.intervene.attempt import tokens_to_measure
from tracer.dashboard.intervene.request import (
    HIGHEST,
    LOWEST,
    MODES,
    Attempt,
    Clamping,
    Dosing,
    Freeze,
    Mode,
)
from tracer.record.record import PromptRecord, Record
from tracer.report.text import visible_token

FREEZES: Mapping[Freeze, str] = {
    "none": "nothing: everything downstream reacts",
    "attention": "attention patterns",
    "all": "everything else: direct effects only",
}
N_CONTROLS = 39
"""Enough for a p of .025."""
MOST_TOKENS = 20
"""That are generated."""
DOSES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
_OWN, _CHOSEN = "own place", "tokens"
_NO_SECOND = ""


def attempt_form(
    record: Record, names: Sequence[str], start: Attempt, identity: str
) -> Attempt | None:
    """Draw the form; what it asks for, once it is sent.

    Args:
        record: The run.
        names: Supernodes to be clamped.
        start: What the widgets show first.
        identity: Of the run, the prompt and the start: another one has widgets of its own.
    """
    prompt = record.prompts[start.prompt]
    stem = hashlib.sha256(identity.encode()).hexdigest()[:12]
    before = {clamp.supernode: clamp for clamp in start.clamps}
    with st.form(f"attempt-{stem}", border=True):
        clamps = [
            _row(record, prompt, before.get(name) or Clamping(name, "ablate"), f"{stem}-{name}")
            for name in names
        ]
        left, middle, right = st.columns(3)
        freeze = left.selectbox(
            "Freeze",
            list(FREEZES),
            index=list(FREEZES).index(start.freeze),
            format_func=lambda each: FREEZES[each],
            key=f"freeze-{stem}",
        )
        measure = _measure(prompt, start.measure, stem, middle, right)
        left, middle, right = st.columns(3)
        n_tokens = left.number_input("Tokens to generate", 0, MOST_TOKENS, 0, key=f"tokens-{stem}")
        dosed = middle.selectbox("Dose of", list(names), key=f"dosed-{stem}")
        factors = right.multiselect(
            "Doses", [n / 2 for n in range(-10, 11)], DOSES, key=f"doses-{stem}"
        )
        sent = _buttons(stem)
    if sent is None or not clamps:
        return None
    dosing = Dosing(dosed, tuple(sorted(factors))) if sent == "doses" and dosed else None
    return Attempt(
        prompt=start.prompt,
        clamps=tuple(clamps),
        measure=measure,
        freeze=freeze,
        n_controls=N_CONTROLS if sent == "controls" else 0,
        dosing=dosing,
        n_tokens=int(n_tokens),
    )


def _buttons(stem: str) -> str | None:
    """Which of the ways to send the form was taken."""
    left, middle, right = st.columns(3)
    pressed = {
        "run": left.form_submit_button("Run", type="primary", key=f"run-{stem}", width="stretch"),
        "controls": middle.form_submit_button(
            f"Run with {N_CONTROLS} matched random sets", key=f"controls-{stem}", width="stretch"
        ),
        "doses": right.form_submit_button("Sweep the dose", key=f"sweep-{stem}", width="stretch"),
    }
    return next((name for name, is_pressed in pressed.items() if is_pressed), None)


def _row(record: Record, prompt: PromptRecord, start: Clamping, stem: str) -> Clamping:
    name = start.supernode
    known = record.supernodes.get(name)
    has_source = known is not None and bool(known.source)
    has_maxima = known is not None and all(ref.maximum is not None for ref in known.features)
    left, mode_at, factor_at, place_at, tokens_at, onward_at = st.columns([2, 3, 2, 2, 3, 2])
    left.markdown(f"**{plain(known.label if known else name)}**  \n{plain(name)}")
    may = [
        mode for mode in MODES if (mode != "inject" or has_source) and (mode != "add" or has_maxima)
    ]
    mode = mode_at.selectbox(
        "Mode",
        may,
        index=may.index(start.mode) if start.mode in may else 0,
        format_func=lambda each: MODES[each],
        key=f"mode-{stem}",
        help="What the factor multiplies: what the supernode does on this prompt, on its source "
        "prompts, or its maximum. Ablated, it is 0.",
    )
    factor = factor_at.number_input(
        f"Factor ({LOWEST:g} to {HIGHEST:g})",
        LOWEST,
        HIGHEST,
        min(max(start.factor, LOWEST), HIGHEST),
        0.5,
        key=f"factor-{stem}",
    )
    places = [_OWN, *_spans(prompt, known is not None), _CHOSEN]
    place = place_at.selectbox(
        "Put at",
        places,
        index=places.index(start.at) if start.at in places else 0,
        key=f"place-{stem}",
    )
    positions = tokens_at.multiselect(
        "Chosen tokens",
        range(len(prompt.tokens)),
        start.positions,
        format_func=lambda pos: f"{pos} {visible_token(prompt.tokens[pos])}",
        key=f"positions-{stem}",
    )
    onward = onward_at.checkbox("and onward", start.onward, key=f"onward-{stem}")
    return Clamping(
        supernode=name,
        mode=cast(Mode, mode),
        factor=float(factor),
        at=place if place not in (_OWN, _CHOSEN) else None,
        positions=tuple(sorted(positions)) if place == _CHOSEN else (),
        onward=onward,
    )


def _spans(prompt: PromptRecord, has_anchor: bool) -> list[str]:
    """Spans that a supernode can be put at; one made by hand has places of its own."""
    return list(prompt.spans) if has_anchor else []


def _second(token: str) -> str:
    return visible_token(token) if token else "(its probability)"


def _measure(
    prompt: PromptRecord,
    start: tuple[str, ...],
    stem: str,
    left: DeltaGenerator,
    right: DeltaGenerator,
) -> tuple[str, ...]:
    """One token, or two whose logits are compared."""
    tokens: list[str] = list(dict.fromkeys((*start, *tokens_to_measure(prompt))))
    first = left.selectbox(
        "Look at", tokens, format_func=visible_token, key=f"first-{stem}",
        help="Its probability; with another token beside it, the difference of their logits.",
    )  # fmt: skip
    others: list[str] = [_NO_SECOND, *tokens]
    second = right.selectbox(
        "less",
        others,
        index=others.index(start[1]) if len(start) > 1 else 0,
        format_func=_second,
        key=f"second-{stem}",
    )
    return (first, second) if second and second != first else (first,)
