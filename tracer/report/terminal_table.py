"""Tables and prose of a terminal: no token broken inside its quotes, no cell cut.

On a screen that is too narrow for columns a row's cells stand one below the other, each with its
heading. What is piped has no width of its own, so there the table is as wide as it must be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from tracer.report.characters import LONGEST_TOKEN, QUOTED_TOKEN

NARROW = 60
"""Columns of a screen below which cells are stacked."""
_HELD = "\ue000"
"""Stands for a space that no line ends at; for private use, so no text of ours has it."""
_BETWEEN = 3
"""Spaces between two columns."""
_INDENT = 2


class Column(NamedTuple):
    """A heading, and the column's share of the width; 0 is as wide as its cells."""

    heading: str
    share: int


def hold_tokens(text: Text) -> Text:
    """The same text, whose quoted tokens and percentages are words to whoever wraps it."""
    held = text.copy()
    plain = QUOTED_TOKEN.sub(_joined, text.plain)
    plain = plain.replace(" %", f"{_HELD}%")
    if plain != text.plain:
        held.plain = plain
    return held


def _joined(found: re.Match[str]) -> str:
    return found[0].replace(" ", _HELD)


def wrapped(console: Console, text: Text, width: int) -> list[Text]:
    """Lines of at most `width`, broken between words and outside of quoted tokens."""
    lines = list(hold_tokens(text).wrap(console, width))
    for line in lines:
        line.rstrip()
        line.plain = line.plain.replace(_HELD, " ")
    return lines


def print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Text]],
    *,
    is_ascii: bool,
) -> None:
    """Print rows under headings; a row of fewer cells than columns is a heading of its own."""
    cells = [[hold_tokens(cell) for cell in row] for row in rows]
    words = _longest_words(columns, cells)
    between = _BETWEEN * (len(columns) - 1)
    needed = sum(words) + between
    if console.width < NARROW or (console.width < needed and console.is_terminal):
        for line in _stacked(console, columns, cells):
            console.print(line, soft_wrap=True)
        return
    table = Table(
        box=box.ASCII2 if is_ascii else box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    width = max(console.width, needed)
    for column, own in zip(columns, _widths(columns, words, width - between), strict=True):
        table.add_column(column.heading, width=own, overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(_Released(table, width), crop=False)


def _longest_words(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int]:
    """By column, the length of what is not broken: a word, in a fixed column a whole cell."""
    longest = [len(column.heading) for column in columns]
    for row in rows:
        for n, cell in enumerate(row):
            words = cell.plain.split() if columns[n].share else [cell.plain]
            most = LONGEST_TOKEN if columns[n].share else None
            longest[n] = max([longest[n], *(cell_len(word[:most]) for word in words)])
    return longest


def _widths(columns: Sequence[Column], words: Sequence[int], room: int) -> list[int]:
    """Each column's width: the room by shares, but no column narrower than its longest word."""
    widths, shared = list(words), dict(enumerate(column.share for column in columns))
    while True:
        left = room - sum(width for n, width in enumerate(widths) if n not in shared)
        total = sum(shared.values())
        short = [n for n, share in shared.items() if words[n] * total >= left * share]
        if not short:
            break
        for n in short:
            del shared[n]
    for n, share in shared.items():
        widths[n] = left * share // total
    return widths


def _stacked(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]]
) -> Iterator[Text]:
    indent = _INDENT + max(len(column.heading) for column in columns) + _BETWEEN
    room = max(20, console.width - indent)
    for row in rows:
        yield from wrapped(console, row[0], max(20, console.width))
        for column, cell in zip(columns[1:], row[1:], strict=False):
            lines = wrapped(console, cell, room) if cell.plain.strip() else []
            for n, line in enumerate(lines):
                label = " " * _INDENT + column.heading if n == 0 else ""
                yield Text.assemble((label.ljust(indent), "dim"), line)


class _Released:
    """A table of some width, whose held spaces are spaces again."""

    def __init__(self, table: Table, width: int) -> None:
        self._table, self._width = table, width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        wide = options.update(width=self._width)
        for text, style, control in console.render(self._table, wide):
            yield Segment(text.replace(_HELD, " "), style, control)
