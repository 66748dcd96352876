"""One run on a page: its verdict, then its expectations, effects, report or file."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.listing import ICONS
from tracer.dashboard.markdown import plain
from tracer.dashboard.opening import report_of
from tracer.dashboard.run_rows import (
    TEXT,
    effect_rows,
    facts,
    outcome_counts,
    outcome_rows,
    shown,
)
from tracer.dashboard.views import chosen_view
from tracer.evidence.verdict import Verdict
from tracer.result import REPORT, Run

_HEIGHT = 900
"""Of the report's frame, in pixels."""
_MOST_CAVEATS = 5
_LONGEST_NAME = 150
"""Characters of a downloaded file's name."""
_MANY = 2_000
"""Expectations; a report of so many takes more than a second to draw."""


def verdict_of(run: Run) -> None:
    """The headline of a run: what was claimed, whether it held, and what to be careful about."""
    verdict = run.verdict
    st.header(f"{ICONS[verdict.verdict]} {verdict.verdict}{_expected(verdict)}")
    st.markdown(f"**{plain(shown(verdict.claim))}**")
    st.text(shown(verdict.reason))
    st.markdown(plain(facts(run.record)))
    for caveat in verdict.caveats[:_MOST_CAVEATS]:
        st.text(f"⚠ {shown(caveat)}")
    more = len(verdict.caveats) - _MOST_CAVEATS
    if more > 0:
        st.markdown(f"⚠ and {more} more in the report")


def _expected(verdict: Verdict) -> str:
    return "" if verdict.as_expected else f" (the file expected: {verdict.expected})"


def details(dashboard: Dashboard, run: Run) -> None:
    """What is chosen of: expectations, effects, the report, the hypothesis as it was declared."""
    views: Mapping[str, Callable[[Dashboard, Run], None]] = {
        "expectations": _expectations,
        "effects": _effects,
        "report": _report,
        "hypothesis": _hypothesis,
    }
    views[chosen_view(list(views), "view")](dashboard, run)


def _expectations(dashboard: Dashboard, run: Run) -> None:
    st.text(outcome_counts(run.verdict) or "Nothing was expected.")
    st.dataframe(outcome_rows(run.verdict), hide_index=True)


def _effects(dashboard: Dashboard, run: Run) -> None:
    found = effect_rows(run)
    if found:
        st.dataframe(found, hide_index=True)
    else:
        st.markdown("This run has no interventions.")


def _report(dashboard: Dashboard, run: Run) -> None:
    """In a frame of its own origin, where its scripts reach nothing of the dashboard."""
    n = len(run.verdict.outcomes)
    if n > _MANY and not st.button(f"Draw the report of {n:,} expectations, which takes a while"):
        return
    with st.spinner("Drawing the report"):
        html = report_of(dashboard.places.reports, run)
    told = f"{run.record.hypothesis.hypothesis}-{run.path.name}"[:_LONGEST_NAME]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", told) + ".html"
    st.download_button("Download the report", html, name, "text/html", on_click="ignore")
    data = base64.b64encode(html.encode()).decode()
    st.iframe(f"data:text/html;charset=utf-8;base64,{data}", height=_HEIGHT, alt="Report")
    st.markdown(f"Also in the run's folder, as {REPORT}:")
    st.code(shown(str(run.path)), language=None)


def _hypothesis(dashboard: Dashboard, run: Run) -> None:
    text = run.record.yaml
    st.download_button(
        "Download the file",
        text,
        f"{run.record.hypothesis.hypothesis}.yaml",
        "application/yaml",
        on_click="ignore",
    )
    st.code(shown(text, 50 * TEXT), language="yaml", line_numbers=True, wrap_lines=True)
