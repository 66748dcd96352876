"""The one run that the dashboard has under way: its process, its events, and its view on a page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, cast

import streamlit as st

from tracer.dashboard.dashboard import RUN, Dashboard, plain
from tracer.dashboard.runs.run import CELL, ICONS, shown
from tracer.errors import EXIT_INTERRUPTED, UsageError

MOST_NOTES = 50


@dataclass(frozen=True)
class Step:
    """One announced piece of the work."""

    label: str
    total: int | None
    done: int = 0
    ended: bool = False


@dataclass(frozen=True)
class Snapshot:
    """How a job stands."""

    file: str
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    ended: bool = False
    run: str | None = None
    """The id of the finished run."""
    verdict: str | None = None
    problem: str | None = None
    """Why there is no finished run, once it has ended."""


def after(now: Snapshot, event: dict[str, Any]) -> Snapshot:
    """The snapshot with one more event; an event of another kind changes nothing."""
    match event:
        case {"event": "start", "task": int(), "label": str(label), "total": int() | None as total}:
            return replace(now, steps=(*now.steps, Step(label, total)))
        case {"event": "advance", "task": int(place), "n": int(n)}:
            return _changed(now, place, n, ended=False)
        case {"event": "end", "task": int(place)}:
            return _changed(now, place, 0, ended=True)
        case {"event": "note", "text": str(text)}:
            return replace(now, notes=(*now.notes, text)[-MOST_NOTES:])
        case {"event": "problem", "text": str(text)}:
            return replace(now, problem=text)
        case {"event": "done", "run": str(run), "verdict": str(verdict)}:
            return replace(now, run=run, verdict=verdict)
        case _:
            return now


def _changed(now: Snapshot, place: int, n: int, *, ended: bool) -> Snapshot:
    if not 0 <= place < len(now.steps):
        return now
    step = now.steps[place]
    steps = list(now.steps)
    steps[place] = replace(step, done=step.done + n, ended=ended or step.ended)
    return replace(now, steps=tuple(steps))


class Job:
    """One process that says its events on standard output, a line of JSON each."""

    def __init__(self, command: Sequence[str], file: str) -> None:
        self._now = Snapshot(file)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8"
        )
        threading.Thread(target=self._follow, daemon=True).start()

    @property
    def now(self) -> Snapshot:
        """How it stands."""
        return self._now

    def stop(self) -> None:
        """End it as Ctrl-C would: what was measured is kept.

        Not by SIGINT, which a process ignores whose dashboard was started in the background.
        """
        self._process.terminate()

    def _follow(self) -> None:
        with self._process as process:
            for line in cast(TextIO, process.stdout):
                self._now = after(self._now, _event(line))
        code = process.returncode
        problem = self._now.problem
        if problem is None and self._now.run is None:
            problem = _ending(code)
        self._now = replace(self._now, problem=problem, ended=True)


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return cast(dict[str, Any], event) if isinstance(event, dict) else {}


def _ending(code: int) -> str:
    if code in (EXIT_INTERRUPTED, -signal.SIGTERM):
        return "It was stopped. What was measured is kept, and running it again goes on there."
    return (
        f"It stopped by itself (exit code {code}); the terminal of the dashboard says more. "
        "Running it again goes on where it stopped."
    )


class Jobs:
    """The one job of this dashboard, whichever page or window started it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: Job | None = None

    @property
    def current(self) -> Job | None:
        """The job that is under way, or the last one."""
        return self._job

    def start(self, file: Path, reports: Path) -> None:
        """Run a hypothesis file.

        Raises:
            UsageError: A run is under way.
        """
        with self._lock:
            if self._job is not None and not self._job.now.ended:
                raise UsageError("a run is under way; wait for it, or stop it.")
            self._job = Job(command(file, reports), file.name)


def command(file: Path, reports: Path) -> list[str]:
    """The process that runs a file."""
    return [sys.executable, "-m", "tracer.dashboard.worker", str(file), str(reports)]


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
        st.page_link(dashboard.pages["run"], label="Open the run", query_params={RUN: now.run})
