"""From a try to a draft: which of what was seen shall be expected, and the YAML that says so."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tracer.attempt.draft import draft_text, expecting, snippet
from tracer.attempt.seen import sights
from tracer.dashboard.markdown import plain
from tracer.dashboard.tries import Try
from tracer.errors import HypothesisError
from tracer.record import Record

NAME = "seen_by_hand"


def seen_panel(record: Record, each: Try, number: int) -> None:
    """Choose, read, download or save.

    Args:
        record: The run.
        each: What was tried on it.
        number: Of the try, which gives its widgets their names.
    """
    st.subheader("Add what was seen as an expectation")
    st.caption("Bounds are half of what was seen. Seen first and written after, it is no evidence.")
    told = sights(each.tried.record, each.attempt.prompt, each.tried.arrays)
    chosen = st.multiselect(
        "What the clamps shall be expected to do",
        [each.words for each in told],
        default=[each.words for each in told[:2]],
        key=f"sights-{number}",
    )
    name = st.text_input("Name of the intervention", NAME, key=f"name-{number}", max_chars=64)
    try:
        hypothesis = expecting(
            record, each.groups, each.attempt, name, [s for s in told if s.words in chosen]
        )
    except HypothesisError as error:
        _mistakes([f"{mistake.where}: {mistake.message}" for mistake in error.mistakes])
        return
    st.code(snippet(hypothesis, record, name), language="yaml")
    text = draft_text(hypothesis, record, each.attempt.prompt, name)
    st.download_button(
        "Download the whole hypothesis",
        text,
        f"{record.hypothesis.hypothesis}_draft.yaml",
        "application/yaml",
        key=f"download-{number}",
    )


def _mistakes(told: Sequence[str]) -> None:
    for sentence in told:
        st.warning(plain(sentence))
