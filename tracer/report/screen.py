"""Where text for people goes: a terminal, or a pipe or file in its place.

Claims, tokens and file names are untrusted: they are never read as markup, and characters that a
terminal would obey rather than show are left out. A stream whose encoding lacks an icon gets its
ASCII stand-in; a pipe gets no colour, and neither does anyone who sets NO_COLOR.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import IO, Any, Protocol, cast, runtime_checkable

from rich.console import Console
from rich.text import Text

from tracer.report.characters import BIDI
from tracer.report.terminal_table import Column, print_table, wrapped

_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_ASCII = str.maketrans("✔✘−–—×·‘’“”\u00a0\u202f", "+x---x.''\"\"  ") | str.maketrans(
    {
        "≈": "~",
        "∅": "0",
        "…": "...",
        "→": "->",
        "≥": ">=",
        "≤": "<=",
        "ρ": "rho",
        "σ": "sigma",
        "±": "+-",
    }
)
_PROBE = "✔✘−×…→≥ρ"
_WIDTH = 80
"""Where the terminal says that it has none."""


def clean(text: str) -> str:
    """One line that a terminal only shows: no control, escape or bidirectional characters."""
    line = _BREAKS.sub(" ", text)
    return "".join(c for c in line if c not in BIDI and unicodedata.category(c) not in ("Cc", "Cs"))


@runtime_checkable
class Stream(Protocol):
    """A text file that is open for writing."""

    def write(self, text: str, /) -> int:
        """Append text."""
        ...

    def flush(self) -> None:
        """Hand everything on."""
        ...


class _Pipe(Console):
    """A console that goes on in silence where its reader has gone: `tracer list | head -1`."""

    def on_broken_pipe(self) -> None:
        """The command still ends with the exit code of what it did."""
        self.quiet = True
        silence(self.file)


def silence(file: IO[Any]) -> None:
    """Let a stream whose reader has gone, and what it still holds, lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


class Screen:
    """One output stream, and how much it can show."""

    def __init__(self, file: Stream, *, width: int | None = None) -> None:
        self.console = _Pipe(
            file=cast("IO[str]", file), width=width, markup=False, highlight=False, emoji=False
        )
        if self.console.width < 1:  # COLUMNS=0
            self.console.width = _WIDTH
        self.ascii = not _can_say(self.console.encoding)

    @property
    def live(self) -> bool:
        """Whether lines can be redrawn: a real terminal, and not a dumb one."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def text(self, text: str, style: str = "") -> Text:
        """Untrusted text, safe to print here."""
        line = clean(text)
        if self.ascii:
            line = line.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
        return Text(line, style=style)

    def say(self, text: str = "", style: str = "") -> None:
        """Print lines as they are, never wrapped, so that paths can be copied."""
        for line in text.split("\n"):
            self.console.print(self.text(line, style), soft_wrap=True)

    def paragraph(self, text: str, style: str = "", indent: int = 2) -> None:
        """Print prose, wrapped to the width of the screen."""
        width = max(20, self.console.width - indent)
        self.lines(self.text(text, style), width, indent)

    def lines(self, text: Text, width: int | None = None, indent: int = 0) -> None:
        """Print styled prose, wrapped to a width or to that of the screen."""
        for line in wrapped(self.console, text, width or self.console.width):
            self.console.print(Text(" " * indent) + line, soft_wrap=True)

    def table(self, columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[Text]]) -> None:
        """Print rows under headings; a column's number is its share of the width, 0 its minimum."""
        print_table(self.console, [Column(*each) for each in columns], rows, is_ascii=self.ascii)


def _can_say(encoding: str) -> bool:
    try:
        _PROBE.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
