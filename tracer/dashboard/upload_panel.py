"""A YAML file of the reader's own, taken into the session: read as any file is, kept nowhere."""

from __future__ import annotations

from typing import cast

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tracer.dashboard.run_rows import shown
from tracer.errors import HypothesisError
from tracer.hypothesis.source import MAX_BYTES, decoded

KEY = "author-upload"
_TEXTS, _PROBLEM = "author-uploads", "author-upload-problem"
_MOST = 10
"""Uploads that a session keeps."""
_LONGEST_NAME = 100


def uploads() -> dict[str, str]:
    """The session's uploads by file name, newest first."""
    return st.session_state.setdefault(_TEXTS, {})


def upload_panel(key: str, prefix: str) -> None:
    """Draw the place to drop a file.

    Args:
        key: Of the widget that says what is begun from; an upload is chosen there.
        prefix: Of uploads in it.
    """
    with st.expander("Upload a file"):
        st.file_uploader(
            "Hypothesis file to upload",
            ["yaml", "yml"],
            key=KEY,
            max_upload_size=MAX_BYTES >> 20,
            on_change=_take,
            args=(key, prefix),
            help="It is checked as any file; nothing is saved until you save it as a draft.",
        )
    if problem := st.session_state.get(_PROBLEM):
        st.text(shown(problem))


def _take(key: str, prefix: str) -> None:
    st.session_state.pop(_PROBLEM, None)
    file = cast(UploadedFile | None, st.session_state.get(KEY))
    if file is None:
        return
    told = shown(file.name, _LONGEST_NAME)
    try:
        text = decoded(told, file.getvalue())
    except HypothesisError as error:
        st.session_state[_PROBLEM] = f"Not opened: {error}"
        return
    before = uploads()
    names = [told, *(f"{told} ({n})" for n in range(2, len(before) + 3))]
    name = next(each for each in names if each not in before)
    st.session_state[_TEXTS] = dict([(name, text), *before.items()][:_MOST])
    st.session_state[key] = prefix + name
