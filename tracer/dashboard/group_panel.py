"""Supernodes of a graph: those of the run, those made here, and how much all of them explain."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.graph_panel import select
from tracer.dashboard.graph_store import Shown
from tracer.dashboard.hand_groups import Groups, hand_groups, keep
from tracer.dashboard.markdown import plain
from tracer.explore.grouping import (
    GroupLink,
    group_links,
    misnamed,
    with_group,
    without_group,
)
from tracer.record import Record
from tracer.report.text import number, percent, plural, show_token, signed

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
        "to": each.target if each.target in record.supernodes else show_token(each.target),
        "share": "–" if each.share is None else percent(each.share),
        "edges": signed(each.weight),
    }
