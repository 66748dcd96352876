"""Why a head looks where it looks: asked of the model for a graph that is shown, and told.

Nothing is run before somebody asks, by the button or by a cell of a pattern that is drawn. The
question stands in the address; who comes with one finds it filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import streamlit as st
from streamlit.components.v2 import component

from tracer import engine
from tracer.dashboard import model
from tracer.dashboard.dashboard import plain, put_in_address, table
from tracer.dashboard.explore.supernodes import Groups
from tracer.errors import TracerError
from tracer.hypothesis.clamps import LAST
from tracer.hypothesis.expectations.because import MEAN
from tracer.hypothesis.heads import find_head
from tracer.record.graph.graph import ListedGraph
from tracer.record.graph.head_reason import Against, HeadQuestion, HeadReason
from tracer.record.trials import FeatureTokens
from tracer.report.head_reason import pattern_json, reason_statement, reason_tables
from tracer.report.render import pattern_module, pattern_style
from tracer.report.text import clean, shorten, visible_token

WHY = "why"
"""In the address: '9.1_17_16_mean', the head, the positions of query and key, and against what."""
_ADDRESS = re.compile(r"([0-9.]{1,9})_([0-9]{1,6})_([0-9]{1,6})(?:_(mean|[0-9]{1,6}))?", re.ASCII)
_QUESTION, _ANSWER, _PATTERN = "head question", "head answer", "head pattern"
_PROBLEM, _SHOWN, _OPEN = "head problem", "heads of", "heads open"
_LONGEST = 24


@dataclass(frozen=True)
class HeadSubject:
    """A graph of whose heads one can ask."""

    name: str
    """Which graph it is, for the session."""
    graph: ListedGraph
    model: model.Key
    spans: Mapping[str, tuple[int, int]]
    """Of its prompt."""
    groups: Groups
    """Supernodes whose parts are told."""
    known: Mapping[str, FeatureTokens]
    """What its features promote, as far as it is known."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Those of the prompt."""
        return self.graph.subject.tokens

    def field(self, name: str) -> str:
        """The key of a field: another graph has other tokens."""
        return f"head {name} {self.name}"


def question_text(asked: HeadQuestion) -> str:
    """A question as an address holds it."""
    against = "" if asked.against is None else f"_{asked.against}"
    return f"{asked.head}_{asked.query}_{asked.key}{against}"


def question_in(text: str, n_tokens: int) -> HeadQuestion | None:
    """The question in an address; None where there is none of this prompt."""
    found = _ADDRESS.fullmatch(text)
    head = find_head(found[1]) if found else None
    if found is None or head is None:
        return None
    query, key = int(found[2]), int(found[3])
    against: Against = MEAN if found[4] == MEAN else int(found[4]) if found[4] else None
    others = [against] if isinstance(against, int) else []
    if max(query, key, *others) >= n_tokens:
        return None
    return HeadQuestion(head, query, key, against)


def heads_panel(about: HeadSubject) -> None:
    """Draw the question, and the answer where it was asked."""
    asked = _asked(about)
    with st.expander(
        "Why a head looks where it looks", expanded=st.session_state.get(_OPEN) == about.name
    ):
        problem = model.absent() or _unknown(about)
        if problem:
            st.markdown(plain(problem))
            return
        _form(about)
        notes = st.container()  # always there: what follows keeps its place, and the focus
        cost = notes.empty()
        if not model.is_held(about.model):
            cost.markdown(plain(_COST.format(about.model[0])))
        if found := st.session_state.pop(_PROBLEM, None):
            notes.warning(plain(found))
        if asked is None:
            return
        answer = _answer(about, asked)
        if isinstance(answer, str):
            notes.warning(plain(answer))
        else:
            cost.empty()
            _told(about, answer)


def _unknown(about: HeadSubject) -> str | None:
    """Why no model can be asked about a graph; None where one can."""
    if about.graph.subject.fingerprint:
        return None
    return "This graph's file does not tell of which weights it is, so no model can be asked."


def _asked(about: HeadSubject) -> HeadQuestion | None:
    """What was asked of this graph; an address's question is filled in, and not asked."""
    if st.session_state.get(_SHOWN) != about.name:
        st.session_state[_SHOWN] = about.name
        given = question_in(str(st.query_params.get(WHY, "")), len(about.tokens))
        if given is not None:
            fill_in(about, given)
    name, asked = st.session_state.get(_QUESTION, (None, None))
    mine = asked if name == about.name else None
    put_in_address(WHY, None if mine is None else question_text(mine))
    return mine


def fill_in(about: HeadSubject, asked: HeadQuestion) -> None:
    """Put a question into the fields; before they are drawn."""
    values = (str(asked.head), asked.query, asked.key, asked.against)
    for name, value in zip(("head", "query", "key", "against"), values, strict=True):
        st.session_state[about.field(name)] = value
    st.session_state[_OPEN] = about.name


def _form(about: HeadSubject) -> None:
    """The fields; nothing happens before the button."""
    positions = list(range(len(about.tokens)))
    spans = {end - 1: name for name, (_, end) in about.spans.items() if name != LAST}
    last = positions[-1]
    first = {"query": last, "key": next(iter(spans), max(0, last - 1)), "against": MEAN}
    for name, value in first.items():
        st.session_state.setdefault(about.field(name), value)

    def token(pos: int) -> str:
        return f"{_token(about, pos)}" + (f", {spans[pos]}" if pos in spans else "")

    def key(against: Against) -> str:
        if isinstance(against, int):
            return f"key {token(against)}"
        return "nothing: the plain score" if against is None else "the mean of all keys it sees"

    with st.form(about.field("form"), border=False):
        columns = st.columns([1, 2, 2, 2, 1], vertical_alignment="bottom")
        columns[0].text_input(
            "Head", key=about.field("head"), placeholder="9.1", max_chars=9, help=_HELP
        )
        columns[1].selectbox("Looks from", positions, format_func=token, key=about.field("query"))
        columns[2].selectbox("at", positions, format_func=token, key=about.field("key"))
        against: list[Against] = [MEAN, None, *positions]
        columns[3].selectbox("against", against, format_func=key, key=about.field("against"))
        columns[4].form_submit_button("Ask the model", on_click=_ask, args=(about,))


_COST = (
    "Asking loads {} first, which takes some seconds; then the prompt runs once, and a question "
    "takes a second or two."
)
_HELP = (
    "Layer and number of an attention head, both counted from 0. Heads that carry a link stand "
    "beside it, where the graph was taken with them."
)


def _ask(about: HeadSubject) -> None:
    """Take the question from the fields."""
    values = [st.session_state[about.field(n)] for n in ("head", "query", "key", "against")]
    st.session_state[_OPEN] = about.name
    head = find_head(str(values[0]).strip())
    if head is None:
        st.session_state[_PROBLEM] = (
            f"{str(values[0])!r} is no head: its layer and its number are expected, as in 9.1."
        )
        return
    st.session_state[_QUESTION] = (about.name, HeadQuestion(head, *values[1:]))


def _picked(about: HeadSubject) -> None:
    """A cell of the pattern was chosen: ask about its query and key."""
    told = cast(Mapping[str, Any], st.session_state.get(_PATTERN) or {}).get("picked")
    name, asked = st.session_state.get(_QUESTION, (None, None))
    found = cast(list[object], told) if isinstance(told, list) else []
    places = [n for n in found if type(n) is int and 0 <= n < len(about.tokens)]
    if asked is None or name != about.name or len(places) != 2:
        return
    new = HeadQuestion(asked.head, places[0], places[1], asked.against)
    fill_in(about, new)
    st.session_state[_QUESTION] = (about.name, new)


def _answer(about: HeadSubject, asked: HeadQuestion) -> HeadReason | str:
    """What the model says, kept until something else is asked."""
    key = (about.name, about.graph.subject.fingerprint, asked, tuple(about.groups.items()))
    kept = st.session_state.get(_ANSWER)
    if kept is not None and kept[0] == key:
        return kept[1]
    try:
        with st.spinner("Asking the model…"):
            answer = _reason(about, asked)
    except TracerError as error:
        return str(error)
    st.session_state[_ANSWER] = (key, answer)
    return answer


def _reason(about: HeadSubject, asked: HeadQuestion) -> HeadReason:
    held = model.hold(about.model)
    with held.lock:
        of_model, basis = held.opened.model, held.opened.basis
        if held.frozen is None or held.frozen[0] is not about.graph:
            prompt = engine.head_reason.refrozen(of_model, basis, about.graph)
            held.frozen = (about.graph, prompt)
        return engine.head_reason.head_reason(
            of_model, held.frozen[1], asked, about.known, about.groups
        )


def _told(about: HeadSubject, reason: HeadReason) -> None:
    """The pattern beside the sentence and the parts."""
    subject = about.graph.subject
    left, right = st.columns(2)
    with left:
        view = component("tracer_pattern", css=pattern_style(), js=pattern_module())
        view(
            key=_PATTERN,
            data={"pattern": pattern_json(reason, subject)},
            on_picked_change=partial(_picked, about),
        )
        st.markdown(
            "Rows look, columns are looked at; the fuller the colour, the more (by the square "
            "root). A click on a cell, or arrows and Enter, ask about it; Esc goes back."
        )
    right.markdown(plain(reason_statement(reason, subject)))
    tables = reason_tables(reason, subject)
    if tables.groups:
        right.markdown("**By supernode**")
        rows = [
            {"supernode": each.name, "query side": each.query, "key side": each.key}
            for each in tables.groups
        ]
        table(rows, "Parts of the score by supernode", right)
    for words, pairs in (("supernodes", tables.group_pairs), ("nodes", tables.pairs)):
        if pairs:
            right.markdown(f"**Pairs of {words}**")
            rows = [{"query side": e.query, "key side": e.key, "together": e.part} for e in pairs]
            table(rows, f"Pairs of {words} with the largest parts", right)
    left, right = st.columns(2)
    for on, side, rows in (
        (left, "query", tables.query_side),
        (right, "key", tables.key_side),
    ):
        cells = [{f"on the {side} side": each.name, "part": each.part} for each in rows]
        table(cells, f"Parts of the score by node on the {side} side", on)
    st.markdown(
        plain(
            "A part is what a node gives together with everything on the other side; the parts of "
            "a side add up to what is told. Features that the graph does not have are in errors."
        )
    )


def _token(about: HeadSubject, pos: int) -> str:
    return f"{pos} {shorten(str(clean(visible_token(about.tokens[pos]))), _LONGEST)}"
