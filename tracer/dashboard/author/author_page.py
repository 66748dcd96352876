"""The page Author: write a hypothesis, see its mistakes as the command line does, save it, run it.

The text and its origin are kept in the session; drafts are files. A run is a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import streamlit as st
from streamlit.components.v2 import component

from tracer.dashboard.author import drafts
from tracer.dashboard.author.answers import answers_panel
from tracer.dashboard.author.hypothesis_files import (
    DRAFT,
    UPLOAD,
    Origins,
    relative,
    upload_panel,
    uploads,
)
from tracer.dashboard.dashboard import FROM, Dashboard, file_code, plain
from tracer.dashboard.job import job_view, jobs
from tracer.dashboard.opening import entries
from tracer.dashboard.runs.run import CELL, shown
from tracer.engine.plan import make_plan
from tracer.errors import HypothesisError, TracerError, place
from tracer.hypothesis.load import check
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import MAX_BYTES
from tracer.report.text import plural

_TEXT, _NAME, _LOADED, _SAID = "author-text", "author-name", "author-loaded", "author-said"
_MOST_MISTAKES = 100
PAUSE = 600
"""Milliseconds without a key, after which the text is checked."""
LONGEST = 200_000
"""Characters; a longer text is checked when it is left."""
_EDITOR = (
    f"<style>.st-key-{_TEXT} textarea {{font-family: 'Source Code Pro', monospace; "
    "font-size: 0.8rem; white-space: pre;}</style>"
)
"""A constant, with nothing of a run in it."""


class CheckedDraft(NamedTuple):
    """Either a hypothesis or mistakes."""

    hypothesis: Hypothesis | None
    mistakes: tuple[dict[str, str | int | None], ...]
    """Line (None: the file as a whole), `file:line:column`, where in the file, what is wrong."""
    told: str = ""
    """The mistakes as `tracer validate` prints them, `file:line:column` before each."""


def checked(text: str, file: str = "draft") -> CheckedDraft:
    """Check a text with the loader of `tracer validate`; `file` is what it is told to be of."""
    try:
        return CheckedDraft(check(file, text).hypothesis, ())
    except HypothesisError as error:
        rows = tuple(
            {
                "line": mistake.line,
                "place": shown(place(file, mistake), CELL),
                "where": shown(mistake.where, CELL),
                "mistake": shown(mistake.message),
            }
            for mistake in error.mistakes
        )
        return CheckedDraft(None, rows, str(error))


def summary(hypothesis: Hypothesis) -> str:
    """What a run of it would measure, in one line."""
    plan = make_plan(hypothesis)
    parts = [
        plural(len(hypothesis.prompts), "prompt"),
        plural(len(hypothesis.supernodes), "supernode"),
        plural(len(hypothesis.interventions), "intervention"),
        f"{plan.n_rows:,} clamped versions of prompts",
        plural(plan.graphs, "graph") if plan.graphs else "",
    ]
    return ", ".join(filter(None, parts))


# Checks a text while it is written, because Streamlit hears of a text area only when it is left, or
# on Ctrl+Enter. The script listens to the whole page, once: Streamlit may draw the area anew. What
# was typed before it came is sent too; where nothing was, Streamlit does nothing.
_SCRIPT = """
export default function ({ data }) {
  if (document.tracerLiveTyping) return;
  document.tracerLiveTyping = true;
  const selector = `.st-key-${data.key} textarea`;
  const enter = { key: "Enter", code: "Enter", ctrlKey: true, bubbles: true, cancelable: true };
  const send = () => {
    const area = document.querySelector(selector);
    if (!area || area.value.length > data.longest) return;
    area.dispatchEvent(new KeyboardEvent("keydown", enter));
  };
  let timer = setTimeout(send, data.pause);
  document.addEventListener("input", (event) => {
    if (!event.target.matches(selector)) return;
    clearTimeout(timer);
    timer = setTimeout(send, data.pause);
  });
}
"""


def live_typing(key: str) -> None:
    """Send what is typed into the text area with this key, of letters and `-`, as it is typed."""
    view = component("tracer_live_typing", js=_SCRIPT)
    view(key=f"{key}-live", data={"key": key, "pause": PAUSE, "longest": LONGEST})


@dataclass(frozen=True)
class _Loaded:
    origin: str
    text: str

    @property
    def draft(self) -> str | None:
        """Its name, where it is a draft."""
        return self.origin.removeprefix(DRAFT) if self.origin.startswith(DRAFT) else None


def render(dashboard: Dashboard) -> None:
    """Draw the page."""
    st.title("Author")
    origins = Origins(dashboard.places, entries(dashboard.places.reports), uploads())
    origin = _begin(origins)
    editor, findings = st.columns([3, 2])
    with editor:
        st.html(_EDITOR)
        text = st.text_area(
            "Hypothesis file",
            key=_TEXT,
            height=560,
            max_chars=MAX_BYTES,
            persist_state="session",
            help="It is checked when you stop typing.",
        )
        live_typing(_TEXT)
    found = checked(text, origins.file_of(origin))
    with findings:
        _findings(found)
        _keep(dashboard, found, text)
        _run(dashboard, found, text)
    job_view(dashboard)
    answers_panel(text, origins.file_of(origin))
    with st.expander("The text with line numbers"):
        file_code(shown(text, MAX_BYTES), line_numbers=True)


def _begin(origins: Origins) -> str:
    """Fill the editor from what was chosen; edits are dropped only when that is said."""
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with right:
        upload_panel(FROM, UPLOAD)
    origin = left.selectbox("Begin from", origins.names(), key=FROM, bind="query-params")
    loaded: _Loaded | None = st.session_state.get(_LOADED)
    if loaded is not None and loaded.origin == origin:
        return origin
    is_edited = loaded is not None and st.session_state.get(_TEXT) != loaded.text
    if is_edited and not st.button("Drop what was edited, and open it"):
        return loaded.origin if loaded is not None else origin
    try:
        text = origins.text_of(origin)
    except TracerError as error:
        st.text(shown(str(error)))
        text = ""
    st.session_state[_LOADED] = _Loaded(origin, text)
    st.session_state[_TEXT] = text
    st.session_state[_NAME] = st.session_state[_LOADED].draft or ""
    st.session_state.pop(_SAID, None)
    return origin


def _findings(found: CheckedDraft) -> None:
    if found.hypothesis is not None:
        st.success("No mistakes", icon=":material/check:")
        st.text(summary(found.hypothesis))
        return
    n = len(found.mistakes)
    st.error("1 mistake" if n == 1 else f"{n} mistakes", icon=":material/close:")
    with st.container(height=320 if n > 4 else "content", border=False):
        for mistake in found.mistakes[:_MOST_MISTAKES]:
            line = f"line {mistake['line']}" if mistake["line"] else "whole file"
            where = f" · {mistake['where']}" if mistake["where"] else ""
            st.markdown(f"**{line}** {plain(str(mistake['place']) + where)}")
            st.text(str(mistake["mistake"]))


def _keep(dashboard: Dashboard, found: CheckedDraft, text: str) -> None:
    suggested = found.hypothesis.hypothesis if found.hypothesis else ""
    name = st.text_input(
        "Name of the draft",
        key=_NAME,
        max_chars=64,
        placeholder=suggested if drafts.NAME.fullmatch(suggested) else "a-z, 0-9, _ and -",
        persist_state="session",
    )
    chosen = name or suggested
    left, right = st.columns(2)
    left.button("Save draft", on_click=_save, args=(dashboard.places.drafts, chosen, text))
    right.download_button(
        "Download",
        text,
        f"{chosen if drafts.NAME.fullmatch(chosen) else 'hypothesis'}.yaml",
        "application/yaml",
        on_click="ignore",
    )
    if said := st.session_state.get(_SAID):
        st.text(shown(said))


def _save(folder: Path, name: str, text: str) -> None:
    """Make a new draft, or write over the one that was opened, if it is still what was read."""
    loaded: _Loaded = st.session_state[_LOADED]
    try:
        if loaded.draft == name:
            path = drafts.replace(folder, name, text, loaded.text)
        else:
            path = drafts.create(folder, name, text)
    except (TracerError, OSError) as error:
        st.session_state[_SAID] = f"Not saved: {error}"
        return
    st.session_state[_LOADED] = _Loaded(DRAFT + name, text)
    st.session_state[FROM] = DRAFT + name
    st.session_state[_NAME] = name
    st.session_state[_SAID] = f"Saved as {relative(path)}"


def _run(dashboard: Dashboard, found: CheckedDraft, text: str) -> None:
    loaded: _Loaded | None = st.session_state.get(_LOADED)
    draft = loaded.draft if loaded is not None and loaded.text == text else None
    job = jobs().current
    is_busy = job is not None and not job.now.ended
    if draft is None:
        reason = "Save it first: what is run is the draft."
    elif found.hypothesis is None:
        reason = "It has mistakes."
    else:
        reason = "A run is under way." if is_busy else None
    pressed = st.button("Run", disabled=reason is not None, help=reason)
    if draft is None or found.hypothesis is None:
        return
    path = relative(drafts.path_of(dashboard.places.drafts, draft))
    if pressed:
        jobs().start(path, dashboard.places.reports)
        st.rerun()
    st.code(f"tracer run {path}", language="sh", wrap_lines=True)
