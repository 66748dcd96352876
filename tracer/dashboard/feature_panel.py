"""The card of one feature: what the run's files say, and, with the model, what it promotes."""

from __future__ import annotations

import streamlit as st

import tracer
from tracer.card import Card, Example, Line, Spoken
from tracer.dashboard import held_model
from tracer.dashboard.graph_store import Shown, stored
from tracer.dashboard.hand_groups import hand_groups
from tracer.dashboard.markdown import plain
from tracer.errors import TracerError
from tracer.explore.facts import Facts, facts_of
from tracer.progress import Silent
from tracer.report.run_graphs import graph_facts
from tracer.report.text import clean, number, percent, show_token, signed
from tracer.result import Run

_TOP = 8
_CARDS = "feature cards"


def feature_panel(run: Run, prompt: str, shown: Shown, name: str) -> None:
    """Draw the card."""
    groups = {**shown.declared, **hand_groups(run.record.id, prompt)}
    whole = stored(run, prompt)
    facts = facts_of(name, shown.index, shown.influence[name], whole, groups, run.record)
    _facts(facts)
    for heading, told in graph_facts(run.record.graphs[prompt]).get(name, ()):
        st.text(f"{heading}: {clean(told)}")
    key = (run.record.id, facts.layer, facts.index)
    cards: dict[tuple[str, int, int], Card] = st.session_state.setdefault(_CARDS, {})
    if key in cards:
        _card(cards[key])
    elif held_model.absent():
        st.markdown("What it promotes needs the model, and torch is not installed here.")
    elif st.button("What it promotes, and where it fires"):
        try:
            cards[key] = _read(run, facts)
        except TracerError as error:
            st.warning(plain(str(error)))
            return
        _card(cards[key])


def _facts(facts: Facts) -> None:
    st.text(f"Activation {number(facts.activation, 3)}, influence {percent(facts.influence)}")
    fires = [f"{each.pos} {each.token} ({number(each.activation)})" for each in facts.fires]
    st.text(f"In this graph on: {', '.join(fires)}")
    if facts.groups:
        st.text(f"In supernodes: {', '.join(facts.groups)}")
    for supernode, score in facts.scores:
        st.text(f"Score for {supernode}: {score:.4g}")


def _read(run: Run, facts: Facts) -> Card:
    """Its card on the loaded model, with the run's prompts for a text."""
    lines = [Line(n, each.text) for n, each in enumerate(run.record.prompts.values(), 1)]
    with st.spinner("Asking the model…"):
        held = held_model.hold(held_model.key_of(run.record))
        with held.lock:
            [card] = tracer.feature_card.cards_of(
                held.opened, [(facts.layer, facts.index)], lines, _TOP, Silent()
            )
    return card


def _card(card: Card) -> None:
    left, right = st.columns(2)
    left.markdown("Promotes (standard deviations)")
    left.dataframe(_spoken(card.promoted), hide_index=True, alt="Promoted tokens")
    right.markdown("Suppresses")
    right.dataframe(_spoken(card.suppressed), hide_index=True, alt="Suppressed tokens")
    if card.on_text is not None:
        examples = [*card.on_text.positive, *card.on_text.negative]
        st.markdown("On the run's prompts, strongest of each")
        st.dataframe([_example(each) for each in examples], hide_index=True, alt="Examples")


def _spoken(found: tuple[Spoken, ...]) -> list[dict[str, str]]:
    return [
        {"token": show_token(str(clean(each.token))), "score": signed(each.score, 1)}
        for each in found
    ]


def _example(each: Example) -> dict[str, str]:
    text = f"{each.before[-30:]}⟦{each.token}⟧{each.after[:20]}"
    return {"activation": signed(each.activation), "text": str(clean(text))}
