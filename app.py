"""The dashboard's start: lists the runs and shows the verdict of one.

    streamlit run app.py --server.address=127.0.0.1

Reads what `tracer run` wrote, and needs neither torch nor a model. A run is picked from the listing
of the reports folder (`TRACER_REPORTS`, else `reports`); no path comes from a page or its address.
"""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from tracer.errors import TracerError
from tracer.result import Run
from tracer.runs import RunEntry, find_runs

ICONS = {"confirmed": "✔", "refuted": "✖", "inconclusive": "?", "error": "!"}


def listing(entries: list[RunEntry]) -> list[dict[str, str]]:
    """One row of the table for each run, newest first."""
    return [
        {
            "run": entry.id,
            "verdict": f"{ICONS[entry.verdict]} {entry.verdict}" if entry.verdict else "not judged",
            "model": entry.model or "",
            "problem": entry.problem or "",
        }
        for entry in reversed(entries)
    ]


def show(run: Run) -> None:
    """The verdict of one run, its expectations, and where the full report is."""
    verdict = run.verdict
    st.subheader(f"{ICONS[verdict.verdict]} {verdict.verdict}")
    st.text(verdict.claim)
    st.text(verdict.reason)
    rows = [
        {
            "intervention": outcome.intervention,
            "prompts": outcome.split,
            "expectation": outcome.expectation,
            "expected": outcome.expected,
            "observed": outcome.observed,
            "outcome": outcome.outcome,
        }
        for outcome in verdict.outcomes
    ]
    st.dataframe(rows, hide_index=True)
    for caveat in verdict.caveats:
        st.text(f"⚠ {caveat}")
    st.text(f"Full report: {run.path / 'report.html'}")


def main() -> None:
    """The page."""
    st.set_page_config(page_title="tracer", layout="wide")
    st.title("tracer")
    entries = find_runs(Path(os.environ.get("TRACER_REPORTS", "reports")))
    if not entries:
        st.text("There are no runs yet. Make one: tracer run hypotheses/two_hop.yaml")
        return
    st.dataframe(listing(entries), hide_index=True)
    by_id = {entry.id: entry for entry in reversed(entries)}
    chosen = st.selectbox("Run", list(by_id))
    try:
        show(Run.open(by_id[chosen].folder))
    except TracerError as error:
        st.text(str(error))


main()
