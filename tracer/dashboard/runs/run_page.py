"""The page Run: one run opened, its verdict first, and where one goes on with it."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.dashboard import RUN, Dashboard, PageName
from tracer.dashboard.opening import entries, opened
from tracer.dashboard.runs.run import (
    ICONS,
    chosen_run,
    details,
    no_runs,
    shown,
    state_of,
    verdict_of,
)
from tracer.record.runs import RunEntry


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Run")
    known = entries(dashboard.places.reports)
    if not known:
        no_runs()
        return
    chosen = chosen_run("Run", RUN, known, st.container())
    assert chosen is not None
    _show(dashboard, known[chosen])


def _show(dashboard: Dashboard, entry: RunEntry) -> None:
    found = opened(dashboard.places.reports, entry)
    if isinstance(found, str):
        state = state_of(entry)
        state = state if state in ("measuring", "stopped") else "unreadable"
        st.header(f"{ICONS[state]} {state}")
        st.text(shown(found))
        return
    verdict_of(found)
    _onward(dashboard, entry)
    details(dashboard, found)


def _onward(dashboard: Dashboard, entry: RunEntry) -> None:
    told: tuple[tuple[PageName, str, str, dict[str, str]], ...] = (
        ("explore", "Explore its graphs", "hub", {RUN: entry.id}),
        ("intervene", "Intervene by hand", "tune", {RUN: entry.id}),
        ("author", "Edit its hypothesis", "edit", {"from": f"run/{entry.id}"}),
    )
    columns = st.columns(len(told))
    for column, (name, label, icon, query) in zip(columns, told, strict=True):
        column.page_link(
            dashboard.pages[name], label=label, icon=f":material/{icon}:", query_params=query
        )
