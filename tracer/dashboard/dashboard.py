"""What the pages share: their addresses, styles, tables and escaped text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import Page

from tracer.dashboard.places import Places
from tracer.report.text import clean

# Parameters of the address, and keys of the session:
FROM = "from"
"""The origin of the text in Author."""
RUN, OTHER = "run", "with"
"""The opened run, and the one it is compared with."""
PROMPT = "prompt"
GRAPH = "graph-file"
"""A graph that no run has."""
START, EXPLORED = "start", "explored"
"""What Intervene begins with: the supernodes made in Explore, where the address says so."""

PageName = Literal["runs", "run", "explore", "intervene", "compare", "author", "guide"]


@dataclass(frozen=True)
class Dashboard:
    """One drawing of one page."""

    places: Places
    pages: Mapping[PageName, Page]
    """By their name in the address; only those that exist."""


STYLE = """<style>
.stMainBlockContainer { padding: 3.6rem 1.5rem 2rem; }
.stApp h1 { font-size: 1.35rem; padding: 0 0 .4rem; }
.stApp h2 { font-size: 1.15rem; padding: .5rem 0; }
.stApp h3 { font-size: 1rem; padding: .4rem 0; }
button[data-selected="true"], button[data-selected="true"] * {
  color: inherit !important; transition: none !important;
}
[data-testid="stSliderThumbValue"] * { color: light-dark(#1d5c9e, #86b9ec) !important; }
.stCode .token { color: inherit !important; }
.stCode .token.comment, .stCode .linenumber {
  color: light-dark(#5c6670, #a8b2bd) !important;
}
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


def table(
    rows: Sequence[Mapping[str, Any]],
    alt: str | None = None,
    on: DeltaGenerator | None = None,
    *,
    numbers: Sequence[str] = (),
    form: str | None = None,
    height: int | Literal["auto"] = "auto",
) -> None:
    """Draw rows as a table; `form` is the printf format of the columns in `numbers`."""
    columns = {name: st.column_config.NumberColumn(format=form) for name in numbers}
    (on or st).dataframe(rows, height=height, hide_index=True, column_config=columns, alt=alt)


def marked_rows(
    rows: Sequence[Mapping[str, str]],
    alt: str,
    key: str,
    *,
    mode: Literal["single-row", "multi-row"] = "multi-row",
    height: int | Literal["auto"] = "auto",
) -> list[int]:
    """Draw rows as a table to mark rows in; the numbers of the marked ones."""
    marked = st.dataframe(
        rows,
        height=height,
        hide_index=True,
        on_select="rerun",
        selection_mode=mode,
        key=key,
        alt=alt,
    )
    return [n for n in marked["selection"]["rows"] if n < len(rows)]


def author_link(dashboard: Dashboard, origin: str) -> None:
    """Draw a link that opens a text in Author."""
    page, query = dashboard.pages["author"], {FROM: origin}
    st.page_link(page, label="Open it in Author", query_params=query)


def put_in_address(name: str, text: str | None) -> None:
    """Write a parameter of the address; without a text it is taken out."""
    if text:
        st.query_params[name] = text
    elif name in st.query_params:
        del st.query_params[name]


def file_code(
    text: str,
    language: Literal["yaml", "diff"] = "yaml",
    on: DeltaGenerator | None = None,
    *,
    line_numbers: bool = False,
) -> None:
    """Draw a file.

    A browser colours one line in time that grows with the square of its length: the end of a line
    that nobody reads to is left out, and said.
    """
    lines = [_cut(line) for line in text.split("\n")]
    shown = "\n".join(lines)
    (on or st).code(shown, language=language, line_numbers=line_numbers, wrap_lines=True)


LONGEST_LINE = 500


def _cut(line: str) -> str:
    more = len(line) - LONGEST_LINE
    return line if more <= 0 else f"{line[:LONGEST_LINE]}… ({more:,} more characters)"


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
