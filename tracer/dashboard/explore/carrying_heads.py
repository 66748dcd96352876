"""The heads that carry a selected node's links, as questions why they look there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.explore.heads import HeadSubject, fill_in
from tracer.dashboard.explore.nodes import Connections, GraphIndex
from tracer.hypothesis.expectations.because import MEAN
from tracer.hypothesis.heads import HeadName
from tracer.record.graph.head_reason import HeadQuestion
from tracer.report.text import clean, heads_text, shorten

_CARRYING = "carrying"
_MOST_CARRYING = 20


class Carrying(NamedTuple):
    """A head that carries much of a link, and the link."""

    head: HeadName
    query: int
    key: int
    label: str
    size: float
    """Share of the link's target that passes the head, without its sign."""


def carrying_heads(index: GraphIndex, found: Connections, name: str) -> list[Carrying]:
    """The strongest head of each of a node's links.

    Those that move something to another token come first, then those that carry most.
    """
    here, heads = index.node(name), list[Carrying]()
    links = [(link, True) for link in found.inputs] + [(link, False) for link in found.outputs]
    for link, is_input in links:
        other = index.node(link.id)
        query, key = (here.pos, other.pos) if is_input else (other.pos, here.pos)
        for each in link.heads[:1]:
            way = "comes from" if is_input else "goes to"
            told = f"{heads_text([each], link.weight)} of what {way}"
            label = f"{told} {shorten(str(clean(other.label)), 60)}"
            size = abs(link.share * each.weight / link.weight)
            heads.append(Carrying(HeadName(each.layer, each.head), query, key, label, size))
    heads.sort(key=lambda each: (each.query == each.key, -each.size))
    return heads[:_MOST_CARRYING]


def ask_carrying(about: HeadSubject, heads: Sequence[Carrying], at: DeltaGenerator) -> None:
    """Draw the heads that carry a node's links; one that is chosen is filled in as a question."""
    if not heads:
        return
    at.selectbox(
        "Why does a head that carries a link look there?",
        heads,
        index=None,
        format_func=_label,
        key=_CARRYING,
        placeholder="Choose a head, then ask below",
        on_change=_fill_carrying,
        args=(about,),
    )


def _label(each: Carrying) -> str:
    return each.label


def _fill_carrying(about: HeadSubject) -> None:
    chosen: Carrying | None = st.session_state.get(_CARRYING)
    if chosen is not None:
        fill_in(about, HeadQuestion(chosen.head, chosen.query, chosen.key, MEAN))
