"""Runs: which there are, filtered; what one of them found; and two of them to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from tracer.dashboard.dashboard import OTHER, RUN, Dashboard, PageName
from tracer.dashboard.opening import entries, opened
from tracer.dashboard.runs.list import (
    ICONS,
    RunFilters,
    RunRow,
    State,
    counts,
    filtered,
    rows,
    state_of,
)
from tracer.dashboard.runs.run import CELL, details, shown, verdict_of
from tracer.record.runs import RunEntry

_WRITTEN = "run written"
"""What the address says of the run since the page was drawn last."""


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Runs")
    known = entries(dashboard.places.reports)
    if not known:
        st.markdown("There are no runs yet. Make one:")
        st.code("tracer run hypotheses/two_hop.yaml", language="sh")
        return
    listed = rows(list(reversed(known.values())))
    found = filtered(listed, _filters(listed))
    selected = _table(found, len(listed))
    _compare(dashboard, selected)
    chosen = _chosen(known)
    if chosen is not None:
        _show(dashboard, known[chosen])


def _filters(listed: Sequence[RunRow]) -> RunFilters:
    """Verdicts as chips with their counts, then tags, models and words."""
    there = counts(listed)
    states = _chips(there)
    left, middle, right = st.columns(3)
    words = left.text_input(
        "Search", key="words", type="search", live=True, max_chars=200, bind="query-params"
    )
    tags = middle.multiselect(
        "Tags",
        sorted({tag for row in listed for tag in row.tags}),
        key="tag",
        bind="query-params",
        placeholder="Any",
    )
    models = right.multiselect(
        "Models",
        sorted({row.model for row in listed if row.model}),
        key="model",
        bind="query-params",
        placeholder="Any",
    )
    return RunFilters(frozenset(states), frozenset(tags), frozenset(models), words or "")


def _chips(there: Mapping[State, int]) -> list[str]:
    """The verdicts that are wanted; they stand in the address without their counts."""
    asked = [state for state in there if state in st.query_params.get_all("verdict")]
    chosen = st.pills(
        "Verdicts",
        list(there),
        selection_mode="multi",
        default=asked,
        format_func=lambda state: f"{ICONS[state]} {there[state]} {state}",
        key="verdicts",
        label_visibility="collapsed",
    )
    st.query_params["verdict"] = chosen
    return chosen


def _table(found: Sequence[RunRow], n_all: int) -> list[str]:
    """The table, and the ids of the rows that are marked in it."""
    if len(found) < n_all:
        st.markdown(f"{len(found)} of {n_all} shown")
    if not found:
        st.markdown("No run passes the filters.")
        return []
    ids = [row.id for row in found]
    marked = st.dataframe(
        [_cells(row) for row in found],
        hide_index=True,
        height="auto" if len(found) < 9 else 340,
        on_select="rerun",
        selection_mode="multi-row",
        key=f"table-{hash(tuple(ids))}",
        alt="Runs, newest first",
    )
    return [ids[n] for n in marked["selection"]["rows"] if n < len(ids)]


def _cells(row: RunRow) -> dict[str, str]:
    return {
        "verdict": f"{ICONS[row.state]} {row.state}",
        "hypothesis": shown(row.hypothesis, CELL),
        "claim": shown(row.claim, CELL),
        "model": shown(row.model, CELL),
        "started": shown(row.when, CELL),
        "tags": shown(", ".join(row.tags), CELL),
        "problem": shown(row.problem, CELL),
        "run": shown(row.id, CELL),
    }


def _compare(dashboard: Dashboard, selected: Sequence[str]) -> None:
    """What to do with the marked rows."""
    if not selected:
        st.markdown("Mark a row to open it, two to compare them.")
    elif len(selected) == 2:
        newer, older = selected
        st.page_link(
            dashboard.pages["compare"],
            label="Compare the two marked runs",
            icon=":material/compare_arrows:",
            query_params={RUN: older, OTHER: newer},
        )
    if selected and st.session_state.get("marked") != selected:
        st.session_state[RUN] = selected[0]
    st.session_state["marked"] = list(selected)


def _chosen(known: Mapping[str, RunEntry]) -> str | None:
    """The run to show, as marked, as the list says, or as the address does where it is a new one.

    The list is not bound to the address: a link to another page would lose a `run` of its own.
    """
    asked = st.query_params.get(RUN)
    if asked in known and asked != st.session_state.get(_WRITTEN):
        st.session_state[RUN] = asked
    chosen = st.selectbox("Open", list(known), index=None, key=RUN, placeholder="Choose a run")
    if chosen is not None:
        st.query_params[RUN] = chosen
    elif RUN in st.query_params:
        del st.query_params[RUN]
    st.session_state[_WRITTEN] = chosen
    return chosen


def _show(dashboard: Dashboard, entry: RunEntry) -> None:
    found = opened(dashboard.places.reports, entry)
    if isinstance(found, str):
        state = "measuring" if state_of(entry) == "measuring" else "unreadable"
        st.header(f"{ICONS[state]} {state}")
        st.text(shown(found))
        return
    verdict_of(found)
    _onward(dashboard, entry)
    details(dashboard, found)


def _onward(dashboard: Dashboard, entry: RunEntry) -> None:
    """Links to what else can be done with the opened run."""
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
