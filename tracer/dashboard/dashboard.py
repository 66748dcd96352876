"""What every page is given: the two folders, and the other pages to link to.

The folders of the dashboard: runs and drafts, which it reads and writes, and hypotheses to read.

They are fixed when it is started, by `tracer dashboard` through the environment; no page and no
address names a folder.

Colours of Streamlit's that fall short of 4.5 to 1, in light or dark: other ones for them.

Views of one page, of which one is drawn.

Text from files, tokens and models where Streamlit reads Markdown: every mark made a letter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import streamlit as st
from streamlit.navigation.page import Page

from tracer.report.text import clean

FROM = "from"
"""What the text was begun from, in the address and in the session."""

RUN = "run"
"""The opened run, in the address and in the session."""
OTHER = "with"
"""The run it is compared with."""


REPORTS_VARIABLE = "TRACER_REPORTS"
DRAFTS_VARIABLE = "TRACER_DRAFTS"
HYPOTHESES_VARIABLE = "TRACER_HYPOTHESES"
REPORTS = "reports"
DRAFTS = "hypotheses/drafts"
HYPOTHESES = "hypotheses"


class Places(NamedTuple):
    """Where runs are kept, drafts are saved and hypotheses are read from, absolute."""

    reports: Path
    drafts: Path
    hypotheses: Path


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """The folders this process was started with, else those of the working directory."""
    return Places(
        Path(environment.get(REPORTS_VARIABLE) or REPORTS).absolute(),
        Path(environment.get(DRAFTS_VARIABLE) or DRAFTS).absolute(),
        Path(environment.get(HYPOTHESES_VARIABLE) or HYPOTHESES).absolute(),
    )


PageName = Literal["runs", "explore", "intervene", "compare", "author", "guide"]


@dataclass(frozen=True)
class Dashboard:
    """One drawing of one page."""

    places: Places
    pages: Mapping[PageName, Page]
    """By their name in the address; only those that exist."""


STYLE = """<style>
button[data-selected="true"], button[data-selected="true"] * {
  color: inherit !important; transition: none !important;
}
.stCode .token { color: inherit !important; }
.stCode .token.comment { color: light-dark(#5c6670, #a8b2bd) !important; }
.stCode .token.punctuation { color: light-dark(#5c6670, #a8b2bd) !important; }
.stCode .token.key, .stCode .token.keyword { color: light-dark(#a63d00, #ff9a5c) !important; }
.stCode .token.string, .stCode .token.inserted { color: light-dark(#00694b, #4cc79a) !important; }
.stCode .token.number, .stCode .token.function { color: light-dark(#2166ac, #6baed6) !important; }
.stCode .token.boolean, .stCode .token.deleted { color: light-dark(#b2182b, #f4a582) !important; }
</style>"""
"""A constant, with nothing of a run in it; the colours are the report's."""


def chosen_view(names: Sequence[str], key: str) -> str:
    """Buttons, one to a view; the first is drawn until another is chosen, which links keep."""
    chosen = st.segmented_control(
        "Show",
        names,
        default=names[0],
        required=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or names[0]


JOINER = "\u2060"
"""Invisible, and no break: it parts what would be found in plain text."""

_MARKS = re.compile(r"([!-/:-@\[-`{-~])")
_FOUND_IN_TEXT = re.compile(r"(?<=[:@<>~-])(?=\S)|(?<=www)(?=\\\.)", re.IGNORECASE)


def plain(text: str) -> str:
    """The text as Markdown that shows exactly it, on one line.

    Every ASCII punctuation mark is escaped, which CommonMark allows for all of them: no link,
    image, formula, colour or HTML is left. Addresses, arrows and emoji names, which Streamlit
    looks for after that, are parted by a joiner. Control characters become visible.
    """
    shown = str(clean(text))
    escaped = _MARKS.sub(r"\\\1", " ".join(shown.split()))
    return _FOUND_IN_TEXT.sub(JOINER, escaped)
