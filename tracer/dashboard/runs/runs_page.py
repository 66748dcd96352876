"""The page Runs: the runs there are, filtered; one of them to open, two of them to compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from tracer.dashboard.dashboard import OTHER, RUN, Dashboard, marked_rows, plain
from tracer.dashboard.opening import entries
from tracer.dashboard.runs.run import (
    CELL,
    ICONS,
    State,
    no_runs,
    run_names,
    shown,
    state_of,
    when,
)
from tracer.record.runs import RunEntry

_MOST_LINKS = 10


@dataclass(frozen=True)
class RunFilters:
    """What is wanted; an empty filter lets everything pass."""

    states: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    words: str = ""
    """All of them must occur in the run's name, claim, tags, model or problem; case is ignored."""


def render(dashboard: Dashboard) -> None:
    """Draw the page; an address with a run, which this page had before, leads to the run's own."""
    if st.query_params.get(RUN):
        st.switch_page(dashboard.pages["run"], query_params=st.query_params.to_dict())
    st.title("Runs")
    known = entries(dashboard.places.reports)
    if not known:
        no_runs()
        return
    listed = list(known.values())
    found = filtered(listed, _filters(listed))
    _onward(dashboard, known, _table(found, len(listed)))


def _filters(listed: Sequence[RunEntry]) -> RunFilters:
    there = counts(listed)
    states = _chips(there)
    left, middle, right = st.columns(3)
    words = left.text_input(
        "Search", key="words", type="search", live=True, max_chars=200, bind="query-params"
    )
    tags = _any_of(middle, "Tags", {tag for entry in listed for tag in entry.tags}, "tag")
    models = _any_of(right, "Models", {e.model for e in listed if e.model}, "model")
    return RunFilters(frozenset(states), tags, models, words or "")


def _any_of(at: DeltaGenerator, label: str, options: Iterable[str], key: str) -> frozenset[str]:
    listed = sorted(options)
    chosen = at.multiselect(label, listed, key=key, bind="query-params", placeholder="Any")
    return frozenset(chosen)


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


def _table(found: Sequence[RunEntry], n_all: int) -> list[str]:
    if len(found) < n_all:
        st.markdown(f"{len(found)} of {n_all} shown")
    if not found:
        st.markdown("No run passes the filters.")
        return []
    ids = [entry.id for entry in found]
    height = "auto" if len(found) < 9 else 340
    key = f"table-{hash(tuple(ids))}"
    marked = marked_rows([_cells(e) for e in found], "Runs, newest first", key, height=height)
    return [ids[n] for n in marked]


def _cells(entry: RunEntry) -> dict[str, str]:
    state = state_of(entry)
    texts = {
        "hypothesis": entry.hypothesis,
        "claim": entry.claim,
        "model": entry.model,
        "started": when(entry.started or ""),
        "tags": ", ".join(entry.tags),
        "problem": entry.problem,
        "run": entry.id,
    }
    cells = {name: shown(text or "", CELL) for name, text in texts.items()}
    return {"verdict": f"{ICONS[state]} {state}", **cells}


def _onward(dashboard: Dashboard, known: Mapping[str, RunEntry], marked: Sequence[str]) -> None:
    """Where the marked rows lead: one to its page, two to their comparison."""
    if not marked:
        st.markdown("Mark a row to open it, two to compare them.")
    elif len(marked) == 2:
        newer, older = marked
        st.page_link(
            dashboard.pages["compare"],
            label="Compare the two marked runs",
            icon=":material/compare_arrows:",
            query_params={RUN: older, OTHER: newer},
        )
    for each in marked[:_MOST_LINKS]:
        st.page_link(
            dashboard.pages["run"],
            label=f"Open {plain(run_names(known)[each])}",
            icon=":material/open_in_full:",
            query_params={RUN: each},
        )


def filtered(entries: Iterable[RunEntry], wanted: RunFilters) -> tuple[RunEntry, ...]:
    """The runs that every filter lets pass, in their order."""
    return tuple(entry for entry in entries if _passes(entry, wanted))


def _passes(entry: RunEntry, wanted: RunFilters) -> bool:
    texts = (entry.id, entry.claim or "", *entry.tags, entry.model or "", entry.problem or "")
    text = " ".join(texts).casefold()
    return (
        (not wanted.states or state_of(entry) in wanted.states)
        and (not wanted.tags or not wanted.tags.isdisjoint(entry.tags))
        and (not wanted.models or entry.model in wanted.models)
        and all(word in text for word in wanted.words.casefold().split())
    )


def counts(entries: Iterable[RunEntry]) -> dict[State, int]:
    """How many runs there are of each state that occurs."""
    found = Counter(map(state_of, entries))
    return {state: found[state] for state in ICONS if found[state]}
