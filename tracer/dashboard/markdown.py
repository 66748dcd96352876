"""Text from files, tokens and models where Streamlit reads Markdown: every mark made a letter."""

from __future__ import annotations

import re

from tracer.report.text import clean

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
