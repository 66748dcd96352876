"""Seals: whether a file of a run is as tracer wrote it.

A seal is the SHA-256 of the file with `"seal": null` in its place, and of the files that belong to
it. It tells of an edit; it keeps nobody from making one, who may compute it anew.
"""

from __future__ import annotations

import re
from hashlib import sha256

_EMPTY = b'"seal": null'
_SEALED = re.compile(rb'"seal": "([0-9a-f]{64})"')
"""Inside a string of JSON the quotation marks would be escaped."""


def sealed(text: str, *others: bytes) -> bytes:
    """A JSON text with its seal; `others` are the files that belong to it."""
    data = text.encode("utf-8", "backslashreplace")
    seal = _digest(data, others).encode()
    return data.replace(_EMPTY, b'"seal": "' + seal + b'"', 1)


def is_as_written(data: bytes, *others: bytes) -> bool | None:
    """Whether a file has the seal of what it says; None where it has none, as older ones."""
    found = _SEALED.search(data)
    if found is None:
        return None
    return _digest(_SEALED.sub(_EMPTY, data, count=1), others) == found[1].decode()


def _digest(data: bytes, others: tuple[bytes, ...]) -> str:
    total = sha256(data)
    for other in others:
        total.update(sha256(other).digest())
    return total.hexdigest()
