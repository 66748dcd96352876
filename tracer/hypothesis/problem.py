"""A mistake in a hypothesis before it has a line: where in the data, and what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of the file; () is the file itself."""


class Problem(NamedTuple):
    """One mistake, placed by its path."""

    path: KeyPath
    message: str


def dotted(path: KeyPath) -> str:
    """The path as people read it: `interventions.swap.expect[0].top`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def shorten(text: str, limit: int = 120) -> str:
    """At most `limit` characters, the middle left out."""
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def show(value: Any) -> str:
    """A value as found in a file, short enough for a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return shorten(repr(value), 80)


def listed(words: Iterable[str]) -> str:
    """The words in quotes, at most twenty of them."""
    quoted = [repr(word) for word in words]
    if len(quoted) > 20:
        quoted = [*quoted[:20], f"and {len(quoted) - 20} more"]
    return ", ".join(quoted)


def prompts_named(names: Sequence[str]) -> str:
    """The prompts a sentence is about, at most five of them by name."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"prompt{'s' if len(names) > 1 else ''} {listed(names[:5])}{more}"


_MOST_COMPARED = 300


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like this one, if any is alike; case does not count.

    Of very many words, which take long to compare, none is.
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    if len(by_lower) > _MOST_COMPARED:
        return by_lower.get(word.lower())
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest word, or nothing."""
    best = nearest(word, known)
    return f" Did you mean {best!r}?" if best is not None else ""


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """The sentence for a name that nothing answers to."""
    names = list(known)
    choices = f" Known: {listed(names)}." if names else " There is none."
    return f"no {kind} {word!r}.{did_you_mean(word, names)}{choices}"
