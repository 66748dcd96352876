"""Runs: which there are, filtered; and what one of them found."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.listing import ICONS, Row, rows, state_of
from tracer.dashboard.markdown import plain
from tracer.dashboard.opening import entries, opened
from tracer.dashboard.run_rows import CELL, outcome_rows, shown
from tracer.result import Run


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Runs")
    known = entries(dashboard.places.reports)
    if not known:
        st.text("There are no runs yet. Make one: tracer run hypotheses/two_hop.yaml")
        return
    st.dataframe([_cells(row) for row in rows(list(reversed(known.values())))], hide_index=True)
    chosen = st.selectbox("Run", list(known), key="run", bind="query-params")
    found = opened(dashboard.places.reports, known[chosen])
    if isinstance(found, str):
        st.subheader(f"{ICONS[state_of(known[chosen])]} {plain(chosen)}")
        st.text(shown(found))
        return
    _show(found)


def _cells(row: Row) -> dict[str, str]:
    return {
        "verdict": f"{ICONS[row.state]} {row.state}",
        "run": shown(row.id, CELL),
        "claim": shown(row.claim, CELL),
        "tags": shown(", ".join(row.tags), CELL),
        "model": shown(row.model, CELL),
        "started": shown(row.when, CELL),
        "problem": shown(row.problem, CELL),
    }


def _show(run: Run) -> None:
    verdict = run.verdict
    st.subheader(f"{ICONS[verdict.verdict]} {verdict.verdict}")
    st.text(shown(verdict.claim))
    st.text(shown(verdict.reason))
    for caveat in verdict.caveats:
        st.text(f"⚠ {shown(caveat)}")
    st.dataframe(outcome_rows(verdict), hide_index=True)
