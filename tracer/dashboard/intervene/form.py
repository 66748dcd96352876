"""The form of Intervene: one row of widgets for each supernode, and what is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.dashboard import plain
from tracer.dashboard.intervene.attempt import (
    HIGHEST,
    LOWEST,
    MODES,
    Attempt,
    Clamping,
    Dosing,
    Freeze,
    Mode,
    tokens_to_measure,
)
from tracer.record.record import PromptRecord, Record
from tracer.report.text import visible_token

Choice = TypeVar("Choice", bound=str)
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
_OWN, _CHOSEN, _NO_SECOND = "own place", "tokens", ""


def attempt_form(
    record: Record, names: Sequence[str], start: Attempt, identity: str
) -> Attempt | None:
    """Draw the form; what it asks for, once it is sent.

    It shows `start` first. Each `identity` (of run, prompt and start) has widgets of its own.
    """
    prompt = record.prompts[start.prompt]
    stem = hashlib.sha256(identity.encode()).hexdigest()[:12]
    before = {clamp.supernode: clamp for clamp in start.clamps}
    with st.form(f"attempt-{stem}", border=True):
        clamps = [
            _row(record, prompt, before.get(name) or Clamping(name, "ablate"), f"{stem}-{name}")
            for name in names
        ]
        left, right = st.columns(2)
        measure = _measure(prompt, start.measure, stem, left, right)
        freeze = _choose(
            st.container(), "Freeze", FREEZES, start.freeze, f"freeze-{stem}", FREEZES.__getitem__
        )
        left, middle, right = st.columns([1, 1, 2])
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
    refs = known.features if known is not None else ()
    has_maxima = bool(refs) and all(ref.maximum is not None for ref in refs)
    label = known.label if known else name
    st.markdown(f"**{plain(label)}**" + (f" {plain(name)}" if label != name else ""))
    mode_at, factor_at = st.columns([2, 3])
    place_at, tokens_at, onward_at = st.columns([4, 4, 3], vertical_alignment="bottom")
    may: list[Mode] = [
        mode for mode in MODES if (mode != "inject" or has_source) and (mode != "add" or has_maxima)
    ]
    told = (
        "What the factor multiplies: what the supernode does on this prompt, on its source "
        "prompts, or its maximum. Ablated, it is 0."
    )
    mode: Mode = _choose(mode_at, "Mode", may, start.mode, f"mode-{stem}", MODES.__getitem__, told)
    first = min(max(start.factor, LOWEST), HIGHEST)
    factor = factor_at.slider("Factor", LOWEST, HIGHEST, first, 0.1, key=f"factor-{stem}")
    # A supernode made by hand has places of its own, and none at a span.
    places = [_OWN, *(prompt.spans if known is not None else ()), _CHOSEN]
    place = _choose(place_at, "Put at", places, start.at, f"place-{stem}")
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
        mode=mode,
        factor=float(factor),
        at=place if place not in (_OWN, _CHOSEN) else None,
        positions=tuple(sorted(positions)) if place == _CHOSEN else (),
        onward=onward,
    )


def _choose(
    at: DeltaGenerator,
    label: str,
    options: Iterable[Choice],
    start: str | None,
    key: str,
    words: Callable[[Choice], str] = str,
    told: str | None = None,
) -> Choice:
    """One of the options, at first `start` where it is among them."""
    listed = list(options)
    first = next((n for n, each in enumerate(listed) if each == start), 0)
    return at.selectbox(label, listed, index=first, format_func=words, key=key, help=told)


def _measure(
    prompt: PromptRecord,
    start: tuple[str, ...],
    stem: str,
    left: DeltaGenerator,
    right: DeltaGenerator,
) -> tuple[str, ...]:
    tokens = tuple(dict.fromkeys((*start, *tokens_to_measure(prompt))))
    told = "Its probability; with another token beside it, the difference of their logits."
    first = _choose(left, "Look at", tokens, None, f"first-{stem}", visible_token, told)
    second = _choose(
        right,
        "minus",
        (_NO_SECOND, *tokens),
        start[1] if len(start) > 1 else None,
        f"second-{stem}",
        lambda token: visible_token(token) if token else "(its probability)",
    )
    return (first, second) if second and second != first else (first,)
