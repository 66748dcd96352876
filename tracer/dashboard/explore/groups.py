"""Supernodes made by hand in Explore: grouped, scored, kept as a draft, and brought back from one.

They hold ids `layer_index_position`, so they belong to one prompt of one run, for the session.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from tracer.dashboard.author import drafts
from tracer.dashboard.author.author_page import checked
from tracer.dashboard.author.hypothesis_files import DRAFT
from tracer.dashboard.dashboard import Dashboard, author_link, plain, table
from tracer.dashboard.explore.graph import select
from tracer.dashboard.explore.supernodes import (
    GroupLink,
    group_links,
    misnamed,
    with_group,
    without_group,
)
from tracer.dashboard.intervene.draft import groups_of, keeping, kept_text
from tracer.dashboard.opening import Shown, group_places
from tracer.dashboard.runs.run import shown as told
from tracer.errors import TracerError
from tracer.evidence.claimed_links import contradictions
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.record.record import Record
from tracer.report.graph_supernodes import contradiction_words, graph_diagram
from tracer.report.render import supernodes_picture
from tracer.report.supernode_diagram import GroupEffect
from tracer.report.text import number, percent, plural, signed, visible_token

Groups = dict[str, tuple[str, ...]]
_KEY = "hand_groups"
_NAME, _NEW = "new supernode", "a new one"
_SAVED, _PROBLEM, _FROM = "kept draft", "kept problem", "groups from"
_OPENED = "opened boxes"
_MOST_NAMES = 99


def hand_groups(run: str, prompt: str) -> Groups:
    """Those of one prompt of a run, by name."""
    return dict(_all().get((run, prompt), {}))


def keep(run: str, prompt: str, groups: Groups) -> None:
    """Replace them."""
    _all()[run, prompt] = dict(groups)


def _all() -> dict[tuple[str, str], Groups]:
    return st.session_state.setdefault(_KEY, {})


def group_panel(record: Record, prompt: str, shown: Shown, chosen: tuple[str, ...]) -> None:
    """Draw the actions on what is selected, then the supernodes with their scores."""
    by_hand = hand_groups(record.id, prompt)
    features = list(filter(shown.index.is_feature, chosen))
    st.header(f"Selected: {len(chosen)}")
    _actions(record, prompt, shown, by_hand, features, n_chosen=len(chosen))
    _scores(shown)
    for name, ids in by_hand.items():
        left, right = st.columns([2, 1], vertical_alignment="center")
        left.markdown(f"**{plain(name)}** {plural(len(ids), 'feature')}")
        right.button(
            "Take apart",
            key=f"apart-{name}",
            on_click=keep,
            args=(record.id, prompt, without_group(by_hand, name)),
        )


def effects_panel(record: Record, prompt: str, shown: Shown) -> None:
    """Draw what the supernodes do to one another and to the output, as a picture and as a table."""
    by_hand = hand_groups(record.id, prompt)
    links = group_links(shown.index, {**shown.declared, **by_hand})
    if not links:
        return
    with st.expander("Direct effects between supernodes", expanded=True):
        places = [group_places(name, ids) for name, ids in by_hand.items()]
        left, right = st.columns([3, 2])
        boxes = [*shown.declared, *by_hand]
        opened = left.pills("Open to members", boxes, selection_mode="multi", key=_OPENED)
        by_hand_effects = _by_hand(shown, by_hand, links)
        drawn = graph_diagram(record, prompt, places, by_hand_effects, opened)
        if drawn is not None:
            left.image(supernodes_picture(drawn), width="stretch", alt=told(drawn.description))
            left.markdown(
                "Solid adds, dashed takes away: share of all that enters the target. Ablated: "
                "measured change of what is explained."
            )
        for found in contradictions(record, prompt):
            left.warning(plain(contradiction_words(record, prompt, found)))
        rows = [_link(each, record) for each in links[:100]]
        table(rows, "Direct effects between supernodes", right, height=320)


def _by_hand(shown: Shown, by_hand: Groups, links: Sequence[GroupLink]) -> list[GroupEffect]:
    """The links of supernodes made by hand, those to several outputs left out."""
    groups = {*shown.declared, *by_hand}
    has_one_output = len(shown.index.graph.nodes.logits) == 1
    return [
        GroupEffect(each.source, each.target if each.target in groups else OUTPUT, each.share)
        for each in links
        if each.share is not None and not by_hand.keys().isdisjoint((each.source, each.target))
        if has_one_output or each.target in groups
    ]


def _actions(
    record: Record,
    prompt: str,
    shown: Shown,
    by_hand: Groups,
    features: list[str],
    *,
    n_chosen: int,
) -> None:
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    name = left.text_input("Name of a supernode", key=_NAME, max_chars=64)
    into = middle.selectbox("Group as", [_NEW, *by_hand], key="group into") if by_hand else _NEW
    right.button("Clear", on_click=select, args=((),), disabled=not n_chosen)
    new = into not in by_hand
    problem = misnamed(name, [*record.supernodes, *by_hand]) if new and name else None
    if problem:
        st.warning(plain(problem))
    st.button(
        f"Group {plural(len(features), 'selected feature')}",
        disabled=not features or problem is not None or (new and not name),
        on_click=_group,
        args=(record.id, prompt, shown, by_hand, name if new else into, features),
        type="primary",
    )


def _group(
    run: str, prompt: str, shown: Shown, by_hand: Groups, name: str, features: list[str]
) -> None:
    keep(run, prompt, with_group(by_hand, name, features, shown.index))
    st.session_state[_NAME] = ""


def _scores(shown: Shown) -> None:
    for column, name in zip(st.columns(2), ("replacement", "completeness"), strict=True):
        alone, whole = (_score(getattr(each, name)) for each in (shown.alone, shown.whole))
        column.metric(f"{name.capitalize()}, supernodes alone", alone)
        column.markdown(f"of {whole} with every feature shown")


def _score(value: float | None) -> str:
    return "–" if value is None else number(value, 3)


def _link(each: GroupLink, record: Record) -> dict[str, str]:
    return {
        "from": each.source,
        "to": each.target if each.target in record.supernodes else visible_token(each.target),
        "share": "–" if each.share is None else percent(each.share),
        "edges": signed(each.weight),
    }


def keep_panel(dashboard: Dashboard, record: Record, prompt: str, shown: Shown) -> None:
    """Draw both buttons, and what came of them."""
    by_hand = hand_groups(record.id, prompt)
    folder = dashboard.places.drafts
    st.button(
        "Keep them as a draft",
        disabled=not by_hand,
        help="Writes the run's hypothesis with these supernodes into a new draft.",
        on_click=_keep,
        args=(folder, record, prompt, by_hand),
    )
    saved = st.session_state.get(_SAVED)
    if saved is not None and saved[0] == (record.id, prompt):
        st.markdown(plain(f"Kept as draft {saved[1]}."))
        author_link(dashboard, DRAFT + saved[1])
    _back(folder, record, prompt, shown)
    if problem := st.session_state.pop(_PROBLEM, None):
        st.warning(plain(problem))


def _keep(folder: Path, record: Record, prompt: str, by_hand: Groups) -> None:
    """Into the first free name; the same text is not written twice."""
    try:
        text = kept_text(keeping(record, prompt, by_hand), record, prompt, by_hand)
        for name in _names(record, next(iter(by_hand))):
            if name not in drafts.names(folder):
                drafts.create(folder, name, text)
            elif drafts.load(folder, name) != text:
                continue
            st.session_state[_SAVED] = ((record.id, prompt), name)
            return
        st.session_state[_PROBLEM] = "there are too many drafts of these supernodes."
    except (TracerError, OSError) as error:
        st.session_state[_PROBLEM] = f"Not kept: {error}"


def _names(record: Record, group: str) -> list[str]:
    whole = f"{record.hypothesis.hypothesis}_{group}".lower()
    stem = re.sub(r"[^a-z0-9_-]", "_", whole)[:60]
    return [stem, *(f"{stem}_{n}" for n in range(2, _MOST_NAMES))]


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
    features = set(filter(shown.index.is_feature, shown.index.ids))
    by_hand = hand_groups(record.id, prompt)
    new = {
        each: ids
        for each, ids in groups_of(found.hypothesis, record.prompts[prompt], features).items()
        if each not in record.supernodes and each not in by_hand
    }
    if new:
        keep(record.id, prompt, {**by_hand, **new})
    else:
        st.session_state[_PROBLEM] = f"The draft {name} has no further supernode of this graph."
