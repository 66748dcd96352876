"""Author: write a hypothesis, see its mistakes as the command line would tell them, save and run.

The text and where it came from are the session's; drafts are files. Torch is loaded by the process
that runs a draft, never here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from tracer.dashboard import drafts
from tracer.dashboard.checking import Checked, checked, summary
from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.job_view import job_view, jobs
from tracer.dashboard.live_typing import live_typing
from tracer.dashboard.markdown import plain
from tracer.dashboard.opening import entries
from tracer.dashboard.origins import DRAFT, STARTER, UPLOAD, Origins, relative
from tracer.dashboard.run_rows import shown
from tracer.dashboard.upload_panel import upload_panel, uploads
from tracer.errors import TracerError
from tracer.hypothesis.source import MAX_BYTES

FROM = "from"
"""What the text was begun from, in the address and in the session."""
_TEXT, _NAME, _LOADED, _SAID = "author-text", "author-name", "author-loaded", "author-said"
_MOST_MISTAKES = 100
_EDITOR = (
    f"<style>.st-key-{_TEXT} textarea {{font-family: 'Source Code Pro', monospace; "
    "font-size: 0.8rem; white-space: pre;}</style>"
)
"""Indentation means something in YAML; a constant, with nothing of a run in it."""


@dataclass(frozen=True)
class _Loaded:
    """What the editor was last filled with, or saved as."""

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
    with st.expander("The text with line numbers"):
        code = shown(text, MAX_BYTES)
        st.code(code, language="yaml", line_numbers=True, wrap_lines=True)


def _begin(origins: Origins) -> str:
    """Fill the editor from what was chosen; edits are dropped only when that is said."""
    origin = _chosen(origins.names())
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


def _chosen(names: Sequence[str]) -> str:
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with right:
        upload_panel(FROM, UPLOAD)
    return left.selectbox("Begin from", names, key=FROM, bind="query-params") or STARTER


def _findings(found: Checked) -> None:
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


def _keep(dashboard: Dashboard, found: Checked, text: str) -> None:
    """Save as a draft, or download."""
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


def _run(dashboard: Dashboard, found: Checked, text: str) -> None:
    """Run the draft as it was saved; also say how the command line would."""
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
    st.code(f"tracer run {path}", language="sh")
