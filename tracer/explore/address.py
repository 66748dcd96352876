"""A view as an address carries it: ids and numbers only, and nothing of it believed.

Names and labels never stand in an address: whoever sends a link would write them on the page of
whoever opens it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

MOST_SELECTED = 20
"""Ids that an address holds."""
_SEPARATOR = "."
_LONGEST = 2000


def selection_text(ids: Iterable[str]) -> str:
    """The first ids, joined."""
    return _SEPARATOR.join([*ids][:MOST_SELECTED])


def selection_ids(text: str) -> tuple[str, ...]:
    """The ids in an address, unchecked; the graph says which of them there are."""
    found = (name for name in text[:_LONGEST].split(_SEPARATOR) if name)
    return tuple(found)[:MOST_SELECTED]


def share_of(text: str, default: float) -> float:
    """A share from 0 to 1; whatever is none gives the default."""
    try:
        share = float(text[:20])
    except ValueError:
        return default
    return share if math.isfinite(share) and 0 <= share <= 1 else default
