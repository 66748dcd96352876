"""The prompt's tokens along the bottom of a picture, cut to what fits around those that matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tracer.report.text import shorten, text_width, visible_token

TOKEN_SIZE = 11.5
MOST = 60
"""No row has room for more tokens than this on either side of one that matters."""
SPREAD = 20.0
"""A row shorter than its room is drawn apart by at most this a token."""


ChipKind = Literal["clamped", "read", "plain", "gap"]
"""`read`: a supernode that is not clamped sits here."""


@dataclass(frozen=True)
class TokenChip:
    """A token of the prompt, or a gap where several are left out."""

    text: str
    x: float
    width: float
    kind: ChipKind

    @property
    def middle(self) -> float:
        """Where a box above it stands."""
        return self.x + self.width / 2


def token_row(
    tokens: tuple[str, ...],
    clamped: set[int],
    columns: Mapping[int, float],
    *,
    left: float,
    right: float,
) -> tuple[tuple[TokenChip, ...], dict[int, float]]:
    """Chips with as much context as fits, and the middle of each kept token by its position.

    Args:
        tokens: of the prompt.
        clamped: positions written to.
        columns: width wanted at each position a supernode sits at, so that boxes over
            neighbouring tokens stand side by side; given up where the row has no room for it.
        left: where the row begins.
        right: where it must end.
    """
    for widths in (columns, dict.fromkeys(columns, 0.0)):
        found = _fitting(tokens, clamped, widths, left, right)
        if found is not None:
            return found
    keep = set(columns) | {len(tokens) - 1}
    even = dict.fromkeys(columns, 0.0)
    return _with_middles(_squeezed(_chips(tokens, keep, clamped, even, left), left, right), keep)


def _fitting(
    tokens: tuple[str, ...],
    clamped: set[int],
    columns: Mapping[int, float],
    left: float,
    right: float,
) -> tuple[tuple[TokenChip, ...], dict[int, float]] | None:
    keep = set(columns) | {len(tokens) - 1}
    for radius in range(min(len(tokens), MOST), -1, -1):
        near = _around(keep, radius, len(tokens))
        chips = _chips(tokens, near, clamped, columns, left)
        last = chips[-1]
        end = last.middle + max(columns.get(len(tokens) - 1, 0.0), last.width) / 2
        if end <= right:
            return _with_middles(_spread(chips, right - end), near)
    return None


def _with_middles(
    chips: tuple[TokenChip, ...], near: set[int]
) -> tuple[tuple[TokenChip, ...], dict[int, float]]:
    kept = [chip for chip in chips if chip.kind != "gap"]
    return chips, {pos: chip.middle for pos, chip in zip(sorted(near), kept, strict=True)}


def _around(keep: set[int], radius: int, n_tokens: int) -> set[int]:
    return {
        pos for at in keep for pos in range(max(0, at - radius), min(n_tokens, at + radius + 1))
    }


def _chips(
    tokens: tuple[str, ...],
    near: set[int],
    clamped: set[int],
    columns: Mapping[int, float],
    left: float,
) -> tuple[TokenChip, ...]:
    chips: list[TokenChip] = []
    x, previous = left, -1

    def add(text: str, kind: ChipKind, wanted: float = 0.0) -> float:
        width = text_width(text, TOKEN_SIZE) + 10
        column = max(wanted, width)
        chips.append(TokenChip(text, x + (column - width) / 2, width, kind))
        return x + column + 2

    for pos in [*sorted(near), len(tokens)]:
        left_out, previous = pos - previous - 1, pos
        if left_out:
            x = add(f"⋯{left_out}⋯", "gap")
        if pos < len(tokens):
            kind = "clamped" if pos in clamped else "read" if pos in columns else "plain"
            text = shorten(visible_token(tokens[pos]), 18)
            x = add(text, kind, columns.get(pos, 0.0))
    return tuple(chips)


def _spread(chips: tuple[TokenChip, ...], room: float) -> tuple[TokenChip, ...]:
    step = min(room / len(chips), SPREAD)
    return tuple(replace(chip, x=chip.x + i * step) for i, chip in enumerate(chips))


def _squeezed(chips: tuple[TokenChip, ...], left: float, right: float) -> tuple[TokenChip, ...]:
    """Chips of even width, their text cut: for a clamp on very many tokens."""
    width = (right - left) / len(chips)
    length = max(1, int(width / TOKEN_SIZE))
    return tuple(
        TokenChip(shorten(chip.text, length), left + i * width, max(width - 2, 1.0), chip.kind)
        for i, chip in enumerate(chips)
    )
