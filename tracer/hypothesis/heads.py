"""How heads of attention are named: 'layer.head', both counted from 0, as in '9.1'."""

from __future__ import annotations

import re
from typing import NamedTuple

_HEAD = re.compile(r"([0-9]{1,3})\.([0-9]{1,4})", re.ASCII)


class HeadName(NamedTuple):
    """A head of attention, as its id says it."""

    layer: int
    head: int

    def __str__(self) -> str:
        return head_id(self.layer, self.head)


def head_id(layer: int, head: int) -> str:
    """Name of a head."""
    return f"{layer}.{head}"


def find_head(text: str) -> HeadName | None:
    """Read 'layer.head'; None where it is something else."""
    match = _HEAD.fullmatch(text)
    return HeadName(*map(int, match.groups())) if match else None


def parse_head(text: str) -> HeadName:
    """The same of an id that the checks of a file let through."""
    found = find_head(text)
    assert found is not None, text
    return found
