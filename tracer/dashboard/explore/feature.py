"""The panel of one feature: what the run's files hold of it and, with the model, its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import streamlit as st

from tracer import engine
from tracer.dashboard import model
from tracer.dashboard.dashboard import plain, table
from tracer.dashboard.explore.groups import hand_groups
from tracer.dashboard.explore.nodes import GraphIndex
from tracer.dashboard.explore.supernodes import Groups
from tracer.dashboard.opening import Shown, stored
from tracer.engine.feature_index.entries import IndexSubject
from tracer.engine.feature_index.index import (
    N_TOLD,
    AskedFeature,
    FeatureIndex,
    find_index,
    index_identity,
)
from tracer.engine.progress import Silent
from tracer.errors import TracerError
from tracer.record.feature_card import FeatureCard, Line, LogitEffect, LogitEffects
from tracer.record.feature_index import IndexedSides
from tracer.record.graph.graph import ListedGraph
from tracer.record.record import Record
from tracer.report.run import Run
from tracer.report.run_graphs import graph_facts, indexed_facts
from tracer.report.text import clean, number, percent, signed, visible_token

_TOP = 8
_CARDS = "feature cards"


class TokenFiring(NamedTuple):
    """One token of the prompt on which a feature is kept in the graph."""

    pos: int
    token: str
    activation: float


@dataclass(frozen=True)
class FeatureFacts:
    """One feature."""

    layer: int
    index: int
    pos: int
    activation: float
    influence: float
    fires: tuple[TokenFiring, ...]
    """Everywhere in the stored graph, strongest first."""
    groups: tuple[str, ...]
    scores: tuple[tuple[str, float], ...]
    """By the run's supernodes that it belongs to, its attribution score where a rule found it."""


def facts_of(
    name: str,
    index: GraphIndex,
    influence: float,
    stored: ListedGraph,
    groups: Groups,
    record: Record,
) -> FeatureFacts:
    """What is known of a feature of the graph; `stored` is the whole graph."""
    nodes = index.graph.nodes
    layer, pos, number = nodes.features[index.places[name]].tolist()
    return FeatureFacts(
        layer=layer,
        index=number,
        pos=pos,
        activation=float(nodes.activations[index.places[name]]),
        influence=influence,
        fires=_fires(stored, layer, number),
        groups=tuple(each for each, ids in groups.items() if name in ids),
        scores=tuple(
            (each, ref.score)
            for each, supernode in record.supernodes.items()
            for ref in supernode.features
            if (ref.layer, ref.index) == (layer, number) and ref.score is not None
        ),
    )


def _fires(stored: ListedGraph, layer: int, number: int) -> tuple[TokenFiring, ...]:
    features, depths = stored.nodes.features, stored.nodes.homes[:, 0]
    rows = ((depths == 2 * layer + 1) & (features[:, 2] == number)).nonzero()[0]
    found: list[TokenFiring] = []
    for row in rows.tolist():
        pos, activation = int(features[row, 1]), float(stored.nodes.activations[row])
        found.append(TokenFiring(pos, visible_token(stored.subject.tokens[pos]), activation))
    return tuple(sorted(found, key=lambda each: -abs(each.activation)))


def feature_panel(run: Run, prompt: str, shown: Shown, name: str) -> None:
    """Draw the card."""
    groups = {**shown.declared, **hand_groups(run.record.id, prompt)}
    whole = stored(run, prompt)
    facts = facts_of(name, shown.index, shown.influence[name], whole, groups, run.record)
    _facts(facts)
    of_run = run.record.graphs[prompt]
    told = graph_facts(of_run).get(name, [])
    if name not in of_run.features or of_run.features[name].indexed is None:
        told = [*told, *_from_index(run.record, facts)]
    for heading, text in told:
        st.text(f"{heading}: {clean(text)}")
    key = (run.record.id, facts.layer, facts.index)
    cards: dict[tuple[str, int, int], FeatureCard] = st.session_state.setdefault(_CARDS, {})
    if key in cards:
        _card(cards[key], facts.activation)
    elif model.absent():
        st.markdown("What it promotes needs the model, and torch is not installed here.")
    elif st.button("What it promotes, and where it fires"):
        try:
            cards[key] = _read(run, facts)
        except TracerError as error:
            st.warning(plain(str(error)))
            return
        _card(cards[key], facts.activation)


def _from_index(record: Record, facts: FeatureFacts) -> list[tuple[str, str]]:
    """What an index of today tells of a feature that the run's record tells nothing of."""
    dictionary = record.dictionary
    subject = IndexSubject(record.model.fingerprint, dictionary and dictionary.fingerprint)
    index = _index(subject, index_identity(subject))
    if index is None:
        return []
    asked = AskedFeature(facts.layer, facts.index, facts.activation < 0, ())
    [found] = index.features([asked], N_TOLD)
    return [] if found is None else indexed_facts(found)


@st.cache_resource(max_entries=2, show_spinner=False)
def _index(subject: IndexSubject, identity: list[str] | None) -> FeatureIndex | None:
    """The index, read anew where its identity changes."""
    return None if identity is None else find_index(subject)


def _facts(facts: FeatureFacts) -> None:
    st.text(f"Activation {number(facts.activation, 3)}, influence {percent(facts.influence)}")
    fires = [f"{each.pos} {each.token} ({number(each.activation)})" for each in facts.fires]
    st.text(f"In this graph on: {', '.join(fires)}")
    if facts.groups:
        st.text(f"In supernodes: {', '.join(facts.groups)}")
    for supernode, score in facts.scores:
        st.text(f"Score for {supernode}: {score:.4g}")


def _read(run: Run, facts: FeatureFacts) -> FeatureCard:
    lines = [Line(n, each.text) for n, each in enumerate(run.record.prompts.values(), 1)]
    with st.spinner("Asking the model…"):
        held = model.hold(model.key_of(run.record))
        with held.lock:
            [card] = engine.feature_card.feature_cards(
                held.opened, [(facts.layer, facts.index)], lines, _TOP, Silent()
            )
    return card


def _card(card: FeatureCard, activation: float) -> None:
    """What it promotes is told as it is active here, as the run's files tell it."""
    effects = LogitEffects(card.promoted, card.suppressed).at(activation)
    left, right = st.columns(2)
    left.markdown("Promotes, as active here")
    table(_effects(effects.promoted), "Promoted tokens, in standard deviations", left)
    right.markdown("Suppresses, as active here")
    table(_effects(effects.suppressed), "Suppressed tokens, in standard deviations", right)
    if card.on_text is not None:
        examples = [*card.on_text.positive, *card.on_text.negative]
        st.markdown("On the run's prompts, strongest of each")
        rows = [
            {
                "activation": signed(each.activation),
                "text": str(clean(f"{each.before[-30:]}⟦{each.token}⟧{each.after[:20]}")),
            }
            for each in examples
        ]
        table(rows, "Examples")
    if card.indexed is not None:
        _indexed(card.indexed, activation)


def _indexed(sides: IndexedSides, activation: float) -> None:
    """The places in the indexed text where it is active as here."""
    told = sides.negative if activation < 0 else sides.positive
    if told is None:
        return
    st.markdown(plain(f"In the index, active so on {percent(told.share)}: {told.text}"))
    rows = [
        {
            "activation": signed(each.activation),
            "text": str(clean(f"{each.before[-30:]}⟦{each.token}⟧{each.after[:20]}")),
            "article": str(clean(each.title)),
        }
        for each in told.places
    ]
    table(rows, "Places in the indexed text")


def _effects(found: tuple[LogitEffect, ...]) -> list[dict[str, str]]:
    return [
        {"token": visible_token(str(clean(each.token))), "score": signed(each.score, 1)}
        for each in found
    ]
