"""From a try to a draft: which of what was seen shall be expected, and the YAML that says so."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tracer.attempt.draft import draft_text, expecting, snippet
from tracer.attempt.seen import sights
from tracer.dashboard import drafts
from tracer.dashboard.author_page import FROM
from tracer.dashboard.dashboard import Dashboard
from tracer.dashboard.markdown import plain
from tracer.dashboard.origins import DRAFT
from tracer.dashboard.tries import Try
from tracer.errors import HypothesisError, UsageError
from tracer.record import Record

NAME = "seen_by_hand"


def seen_panel(dashboard: Dashboard, record: Record, each: Try, number: int) -> None:
    """Choose, read, download or save.

    Args:
        dashboard: Where drafts are kept.
        record: The run.
        each: What was tried on it.
        number: Of the try, which gives its widgets their names.
    """
    st.subheader("Add what was seen as an expectation")
    st.markdown(
        "Bounds are half of what was seen. Seen first and written after, it is no evidence."
    )
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
    left, middle, right = st.columns([2, 1, 1], vertical_alignment="bottom")
    draft = left.text_input(
        "Name of the draft", _draft_name(record), key=f"draft-{number}", max_chars=64
    )
    if middle.button("Save as draft", key=f"save-{number}", width="stretch"):
        _save(dashboard, draft, text)
    right.download_button(
        "Download",
        text,
        f"{_draft_name(record)}.yaml",
        "application/yaml",
        key=f"download-{number}",
        width="stretch",
    )


def _draft_name(record: Record) -> str:
    return f"{record.hypothesis.hypothesis.lower()[:58]}_draft"


def _save(dashboard: Dashboard, name: str, text: str) -> None:
    try:
        drafts.create(dashboard.places.drafts, name, text)
    except UsageError as error:
        st.warning(plain(str(error)))
        return
    except OSError as error:
        st.warning(plain(f"the draft could not be saved ({error.strerror})."))
        return
    st.success(plain(f"Saved as draft {name}."))
    if "author" in dashboard.pages:
        query = {FROM: DRAFT + name}
        st.page_link(dashboard.pages["author"], label="Open it in Author", query_params=query)


def _mistakes(told: Sequence[str]) -> None:
    for sentence in told:
        st.warning(plain(sentence))
