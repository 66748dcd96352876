"""Supernodes of a graph: those of the run, those made here, and how much all of them explain.

Supernodes made by hand, kept: one click writes them into a draft, another brings them back.

Supernodes made by hand in Explore, kept for the session and taken up by Intervene.

They hold places on one prompt (`layer_index_position`), so they belong to that prompt of that run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from tracer.dashboard.author import drafts
from tracer.dashboard.author.author_page import checked
from tracer.dashboard.author.hypothesis_files import DRAFT
from tracer.dashboard.dashboard import FROM, Dashboard, plain
from tracer.dashboard.explore.graph import select
from tracer.dashboard.explore.supernodes import (
    GroupLink,
    group_links,
    misnamed,
    with_group,
    without_group,
)
from tracer.dashboard.graph_store import Shown
from tracer.dashboard.intervene.draft import groups_of, keeping, kept_text
from tracer.dashboard.runs.run import shown as told
from tracer.errors import TracerError
from tracer.record.record import Record
from tracer.report.text import number, percent, plural, signed, visible_token

Groups = dict[str, tuple[str, ...]]
_KEY = "hand_groups"


def hand_groups(run: str, prompt: str) -> Groups:
    """Those of one prompt of a run, by name."""
    return dict(_all().get((run, prompt), {}))


def keep(run: str, prompt: str, groups: Groups) -> None:
    """Replace them."""
    _all()[run, prompt] = dict(groups)


def _all() -> dict[tuple[str, str], Groups]:
    return st.session_state.setdefault(_KEY, {})


_NAME = "new supernode"
_NEW = "a new one"


def group_panel(record: Record, prompt: str, shown: Shown, chosen: tuple[str, ...]) -> None:
    """Draw the actions on what is selected, then the supernodes with their scores."""
    made = hand_groups(record.id, prompt)
    features = [name for name in chosen if shown.index.is_feature(name)]
    st.header(f"Selected: {len(chosen)}")
    _actions(record, prompt, shown, made, features, n_chosen=len(chosen))
    _scores(shown)
    for name, ids in made.items():
        left, right = st.columns([2, 1], vertical_alignment="center")
        left.markdown(f"**{plain(name)}** {plural(len(ids), 'feature')}")
        right.button(
            "Take apart",
            key=f"apart-{name}",
            on_click=keep,
            args=(record.id, prompt, without_group(made, name)),
        )
    links = group_links(shown.index, {**shown.declared, **made})
    if links:
        with st.expander("Direct effects between supernodes"):
            st.dataframe(
                [_link(each, record) for each in links[:100]],
                hide_index=True,
                alt="Direct effects between supernodes",
            )


def _actions(
    record: Record,
    prompt: str,
    shown: Shown,
    made: Groups,
    features: list[str],
    *,
    n_chosen: int,
) -> None:
    """Group what is selected, under a new name or an old one; clear the selection."""
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    name = left.text_input("Name of a supernode", key=_NAME, max_chars=64)
    into = middle.selectbox("Group as", [_NEW, *made], key="group into") if made else _NEW
    right.button("Clear", on_click=select, args=((),), disabled=not n_chosen)
    new = into not in made
    problem = misnamed(name, [*record.supernodes, *made]) if new and name else None
    if problem:
        st.warning(plain(problem))
    st.button(
        f"Group {plural(len(features), 'selected feature')}",
        disabled=not features or problem is not None or (new and not name),
        on_click=_group,
        args=(record.id, prompt, shown, made, name if new else into, features),
        type="primary",
    )


def _group(
    run: str, prompt: str, shown: Shown, made: Groups, name: str, features: list[str]
) -> None:
    keep(run, prompt, with_group(made, name, features, shown.index))
    st.session_state[_NAME] = ""


def _scores(shown: Shown) -> None:
    """What the supernodes explain, beside what the graph does."""
    whole, part = shown.whole, shown.alone
    left, right = st.columns(2)
    left.metric("Replacement, supernodes alone", _score(part.replacement))
    left.markdown(f"of {_score(whole.replacement)} with every feature shown")
    right.metric("Completeness, supernodes alone", _score(part.completeness))
    right.markdown(f"of {_score(whole.completeness)} with every feature shown")


def _score(value: float | None) -> str:
    return "–" if value is None else number(value, 3)


def _link(each: GroupLink, record: Record) -> dict[str, str]:
    return {
        "from": each.source,
        "to": each.target if each.target in record.supernodes else visible_token(each.target),
        "share": "–" if each.share is None else percent(each.share),
        "edges": signed(each.weight),
    }


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
