"""One value of nested lists and mappings put in place, as tests bend files."""

from __future__ import annotations

import copy
from typing import Any

GONE = object()
"""The value of what is left out."""


def put(data: Any, path: str, value: object) -> Any:
    """A copy with one value replaced or left out; numbers in a path are places of a list."""
    made = copy.deepcopy(data)
    *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
    at = made
    for key in way:
        at = at[key]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return made
