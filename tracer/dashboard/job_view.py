"""The run that is under way, with its steps, drawn again every second until it has ended."""

from __future__ import annotations

import streamlit as st

from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.job import Job, Jobs, Snapshot, Step
from tracer.dashboard.listing import ICONS
from tracer.dashboard.markdown import plain
from tracer.dashboard.run_rows import CELL, shown
from tracer.dashboard.runs_page import RUN

_EVERY = 1.0
"""Seconds."""


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """Those of this process, the same in all of its windows."""
    return Jobs()


def job_view(dashboard: Dashboard) -> None:
    """Draw the current job, where there is one."""
    job = jobs().current
    if job is None:
        return
    if job.now.ended:
        _ended(dashboard, job.now)
    else:
        _under_way(job)


@st.fragment(run_every=_EVERY)
def _under_way(job: Job) -> None:
    now = job.now
    if now.ended:
        st.rerun()
    running = [step for step in now.steps if not step.ended]
    label = running[-1].label if running else "starting"
    status = st.status(f"{plain(now.file)}: {plain(shown(label, CELL))}", expanded=True)
    with status.container():  # leaving the status itself would mark it as complete
        for step in now.steps:
            _step(step)
        _notes(now)
    st.button("Stop", on_click=job.stop)


def _step(step: Step) -> None:
    label = plain(shown(step.label, CELL))
    if step.ended:
        st.markdown(f":material/check: {label}")
    elif step.total:
        share = min(step.done / step.total, 1.0)
        st.progress(share, f"{label} {step.done:,} of {step.total:,}")
    else:
        st.markdown(f":material/hourglass_empty: {label}")


def _notes(now: Snapshot) -> None:
    for note in now.notes:
        st.text(f"⚠ {shown(note)}")


def _ended(dashboard: Dashboard, now: Snapshot) -> None:
    if now.run is None or now.verdict is None:
        with st.status(f"{plain(now.file)}: no run", state="error", expanded=True):
            st.text(shown(now.problem or ""))
            _notes(now)
        return
    icon = next((icon for state, icon in ICONS.items() if state == now.verdict), "")
    with st.status(f"{plain(now.file)}: {icon} {now.verdict}", state="complete", expanded=True):
        st.text(shown(now.run, CELL))
        _notes(now)
        st.page_link(dashboard.pages["runs"], label="Open the run", query_params={RUN: now.run})
