"""Text from files, tokens and models where Streamlit reads Markdown: every mark made a letter."""

from __future__ import annotations

import re

from tracer.report.text import clean

_MARKS = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """The text as Markdown that shows exactly it, on one line.

    Every ASCII punctuation mark is escaped, which CommonMark allows for all of them: no link,
    image, formula, colour, icon or HTML is left. Control characters become visible.
    """
    shown = str(clean(text))
    return _MARKS.sub(r"\\\1", " ".join(shown.split()))
