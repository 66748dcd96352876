"""Supernodes made by hand, kept: one click writes them into a draft, another brings them back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from tracer.attempt.kept_groups import groups_of, keeping, kept_text
from tracer.dashboard import drafts
from tracer.dashboard.author_page import FROM
from tracer.dashboard.checking import checked
from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.graph_store import Shown
from tracer.dashboard.hand_groups import Groups, hand_groups, keep
from tracer.dashboard.markdown import plain
from tracer.dashboard.origins import DRAFT
from tracer.dashboard.run_rows import shown as told
from tracer.errors import TracerError
from tracer.record import Record

_SAVED, _PROBLEM, _FROM = "kept draft", "kept problem", "groups from"
_MOST_NAMES = 99


def keep_panel(dashboard: Dashboard, record: Record, prompt: str, shown: Shown) -> None:
    """Draw both buttons, and what came of them."""
    made = hand_groups(record.id, prompt)
    folder = dashboard.places.drafts
    st.button(
        "Keep them as a draft",
        disabled=not made,
        help="Writes the run's hypothesis with these supernodes into a new draft.",
        on_click=_keep,
        args=(folder, record, prompt, made),
    )
    saved = st.session_state.get(_SAVED)
    if saved is not None and saved[0] == (record.id, prompt):
        st.markdown(plain(f"Kept as draft {saved[1]}."))
        if "author" in dashboard.pages:
            query = {FROM: DRAFT + saved[1]}
            st.page_link(dashboard.pages["author"], label="Open it in Author", query_params=query)
    _back(folder, record, prompt, shown)
    if problem := st.session_state.pop(_PROBLEM, None):
        st.warning(plain(problem))


def _keep(folder: Path, record: Record, prompt: str, made: Groups) -> None:
    """Into the first free name; the same text is not written twice."""
    try:
        text = kept_text(keeping(record, prompt, made), record, prompt, made)
        for name in _names(record, next(iter(made))):
            if name not in drafts.names(folder):
                drafts.create(folder, name, text)
            elif drafts.load(folder, name) != text:
                continue
            st.session_state[_SAVED] = ((record.id, prompt), name)
            return
        st.session_state[_PROBLEM] = "there are too many drafts of these supernodes."
    except (TracerError, OSError) as error:
        st.session_state[_PROBLEM] = f"Not kept: {error}"


def _names(record: Record, group: str) -> Iterator[str]:
    whole = f"{record.hypothesis.hypothesis}_{group}".lower()
    stem = re.sub(r"[^a-z0-9_-]", "_", whole)[:60]
    yield stem
    yield from (f"{stem}_{n}" for n in range(2, _MOST_NAMES))


def _back(folder: Path, record: Record, prompt: str, shown: Shown) -> None:
    names = drafts.names(folder)
    if not names:
        return
    with st.expander("Bring supernodes back from a draft"):
        st.selectbox("Draft", names, key=_FROM)
        st.button("Bring them back", on_click=_bring, args=(folder, record, prompt, shown))


def _bring(folder: Path, record: Record, prompt: str, shown: Shown) -> None:
    """Those supernodes of explicit ids that this graph has; one that is here already stays."""
    name = str(st.session_state[_FROM])
    try:
        found = checked(drafts.load(folder, name), name)
    except TracerError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    if found.hypothesis is None:
        st.session_state[_PROBLEM] = f"The draft {name} has mistakes: {told(found.told)}"
        return
    features = {each for each in shown.index.ids if shown.index.is_feature(each)}
    made = hand_groups(record.id, prompt)
    new = {
        each: ids
        for each, ids in groups_of(found.hypothesis, record.prompts[prompt], features).items()
        if each not in record.supernodes and each not in made
    }
    if new:
        keep(record.id, prompt, {**made, **new})
    else:
        st.session_state[_PROBLEM] = f"The draft {name} has no further supernode of this graph."
